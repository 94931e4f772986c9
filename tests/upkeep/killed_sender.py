"""Run as a process by the tests: sends what is due and kills itself with SIGKILL at the named step.

    python -m tests.upkeep.killed_sender STEP TIMES

dies when the step is reached for the TIMES-th time.
"""

import asyncio
import os
import signal
import smtplib
import sys
import threading
from collections.abc import Callable
from typing import Any

from models.kernel import outbox
from tasks import group_writer, ledger
from tasks.clients.mail.carrier import MailCarrier
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS

STEPS: dict[str, tuple[Any, str, bool]] = {
    "after the claim": (ledger.Ledger, "intend", True),
    "before the intent is written": (outbox, "intend", True),
    "before the intent is committed": (outbox, "intend", False),
    "before the send": (MailCarrier, "send", True),
    "before the message's last line": (smtplib.SMTP, "docmd", False),
    "after the message, before its answer": (smtplib.SMTP, "send", False),
    "after the answer": (ledger.Ledger, "answer", True),
    "before the answer is written": (outbox, "record_answers", True),
    "before the answer is committed": (outbox, "record_answers", False),
    "after the answer is committed": (group_writer.GroupWriter, "_settle", True),
}


def die_at(step: str, times: int) -> None:
    """Replace the function of that step by one that counts its calls, and dies before or after the last of them."""
    owner, name, is_before = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)
    lock, calls = threading.Lock(), [0]

    def reached(arguments: tuple[Any, ...]) -> None:
        if step.startswith("before the message") and arguments[1:2] != ("DATA",):
            return
        if step.startswith("after the message") and not (isinstance(arguments[-1], bytes) and len(arguments[-1]) > 500):
            return
        with lock:
            calls[0] += 1
            if calls[0] >= times:
                os.kill(os.getpid(), signal.SIGKILL)

    def counted(*args: Any, **kwargs: Any) -> Any:
        if is_before:
            reached(args)
            return original(*args, **kwargs)
        result = original(*args, **kwargs)
        reached(args)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]))
    asyncio.run(deliver_kinds(KINDS, idle_seconds=0.2))
