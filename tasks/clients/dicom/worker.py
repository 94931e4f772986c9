"""A parser process: `python -m tasks.clients.dicom.worker MEMORY_MB SECONDS`, its standard input a socket.

It lives until that socket ends. It imports nothing of the hub that could reach the database, a secret or the network.
"""

import errno
import importlib
import os
import socket
import sys
from collections.abc import Callable
from traceback import extract_tb
from typing import Any

from tasks.clients.dicom import limits, reading, wire
from tasks.clients.dicom.refusal import RefusalError

OUT_OF_MEMORY = 70
"""Exit status: what a failed allocation left behind is not relied upon."""

MODULES = {
    "describe": "describing",
    "pixels": "describing",
    "bulk": "describing",
    "render": "rendering",
    "wrap": "wrapping",
}

Answer = tuple[Any, bytes]


def main() -> None:
    """Answer until the parent is gone."""
    memory_mb, seconds = int(sys.argv[1]), float(sys.argv[2])
    limits.confine(memory_mb)
    reading.MOST_INFLATED = min(reading.MOST_INFLATED, memory_mb * limits.MEGABYTE // 2)
    connection = socket.socket(fileno=os.dup(0))
    wire.send(connection, {"ready": os.getpid()})
    while True:
        try:
            request, _ = wire.receive(connection)
        except wire.EndedError:
            return
        limits.alarm(seconds)
        head, body = _answer(*request)
        wire.send(connection, head, body)
        limits.alarm(0)


def _answer(name: str, arguments: list[Any]) -> Answer:
    try:
        return _operation(name)(*arguments)
    except RefusalError as refusal:
        return {"refused": refusal.rule, "message": str(refusal)}, b""
    except FileNotFoundError:
        return {"missing": True}, b""
    except OSError as error:
        if error.errno is None:  # a codec's
            return _failed(error)
        return {"later": errno.errorcode.get(error.errno, "OSError")}, b""
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as defect:  # noqa: BLE001 # answered by its kind and place: its message could quote the file
        return _failed(defect)


def _failed(defect: Exception) -> Answer:
    last = extract_tb(defect.__traceback__)[-1]
    return {"failed": f"{type(defect).__name__} at {os.path.basename(last.filename)}:{last.lineno}"}, b""


def _operation(name: str) -> Callable[..., Answer]:
    """Only `read` is there from the start: the others import what they need when they are first asked."""
    if name == "read":
        return reading.read
    module = importlib.import_module(f"tasks.clients.dicom.{MODULES[name]}")
    return getattr(module, name)  # type: ignore[no-any-return] # each is such a function


if __name__ == "__main__":
    main()
