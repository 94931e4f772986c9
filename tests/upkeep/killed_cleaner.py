"""Run as a process by the tests: cleans up and kills itself with SIGKILL before the TIMES-th batch is committed.

python -m tests.upkeep.killed_cleaner TIMES
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from models.kernel.audit import SYSTEM
from tasks.upkeep import clean_up

STEP = (clean_up, "prune")


def die_at(times: int) -> None:
    """Let the batch of that number do its work, and die before its transaction ends."""
    owner, name = STEP
    original: Callable[..., int] = getattr(owner, name)
    calls = [0]

    def counted(*args: Any, **kwargs: Any) -> int:
        number = original(*args, **kwargs)
        calls[0] += 1
        if calls[0] >= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    setattr(owner, name, counted)


if __name__ == "__main__":
    die_at(int(sys.argv[1]))
    clean_up.clean("", SYSTEM, batch=10)
