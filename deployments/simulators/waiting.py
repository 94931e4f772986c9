"""What both simulators' command lines do once they serve."""

import json
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any


def announce(shown: dict[str, Any], written: dict[str, Any], ready_file: Path | None) -> None:
    """Print one JSON line, and write the ready file (mode 0600) whole or not at all."""
    if ready_file is not None:
        beside = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(written, out)
        beside.replace(ready_file)
    print(json.dumps(shown), flush=True)


def wait_for_signal() -> None:
    """Return on SIGINT or SIGTERM."""
    stop = threading.Event()

    def stopped(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stopped)
    stop.wait()
