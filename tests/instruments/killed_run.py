"""Run as a process by the tests: submits or polls what is due, and kills itself with SIGKILL at the named step.

    python -m tests.instruments.killed_run (submit|poll) STEP TIMES

dies when the step is reached for the TIMES-th time.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from models.instruments.stores import results, submission_answers
from models.kernel import outbox
from tasks import group_writer, ledger
from tasks.clients.instrument import HttpInstrument
from tasks.clients.transport import OutsideSystem
from tasks.instruments import checking, fetching, sending
from tests.instruments.world import poll, submit

UNDER_WAY_SECONDS = 0.03
Step = tuple[Any, str, str]

SUBMIT: dict[str, Step] = {
    "before the claim is committed": (sending, "claim_submissions", "after"),
    "after the claim": (sending.Sender, "_serve", "before"),
    "before the intent is written": (outbox, "intend", "before"),
    "before the intent is committed": (outbox, "intend", "after"),
    "before the request goes out": (HttpInstrument, "queue", "before"),
    "while the request is under way": (HttpInstrument, "queue", "during"),
    "after the answer came": (OutsideSystem, "_judge", "before"),
    "before the answer is written down": (ledger.Ledger, "answer", "before"),
    "before the assignment is moved": (sending, "apply_effects", "before"),
    "after the assignment is moved": (submission_answers, "record_many", "after"),
    "before the answer is committed": (outbox, "record_answers", "after"),
    "after the answer is committed": (sending.Sender, "_note", "before"),
}
POLL: dict[str, Step] = {
    "before the claim is committed": (fetching, "claim_polls", "after"),
    "after the claim": (fetching.Fetcher, "_serve", "before"),
    "while the request is under way": (HttpInstrument, "result", "during"),
    "after the answer came": (OutsideSystem, "_judge", "before"),
    "before the raw answer is written": (fetching, "keep_answers", "before"),
    "before the raw answer is committed": (fetching, "keep_answers", "after"),
    "after the raw answer is committed": (fetching.Fetcher, "_check", "before"),
    "before the batch is judged": (checking, "judge", "before"),
    "before the result is written": (checking, "complete_or_hold", "before"),
    "while the result is written": (results, "record_many", "before"),
    "before the result is committed": (checking, "complete_or_hold", "after"),
    "after the result is committed": (group_writer.GroupWriter, "__aexit__", "before"),
}
PROCESSES = {"submit": (SUBMIT, submit), "poll": (POLL, poll)}


def die() -> None:
    """At once, as if the power went."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: Step, times: int) -> None:
    """Replace the function of that step by one that counts its calls, and dies before, during or after the last."""
    owner, name, moment = step
    original: Callable[..., Any] = getattr(owner, name)
    lock, calls = threading.Lock(), [0]

    def reached() -> bool:
        with lock:
            calls[0] += 1
            return calls[0] == times

    def counted(*args: Any, **kwargs: Any) -> Any:
        is_it = reached()
        if is_it and moment == "before":
            die()
        if is_it and moment == "during":
            threading.Timer(UNDER_WAY_SECONDS, die).start()
        result = original(*args, **kwargs)
        if is_it and moment == "after":
            die()
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    steps, process = PROCESSES[sys.argv[1]]
    die_at(steps[sys.argv[2]], int(sys.argv[3]))
    asyncio.run(process())
