"""Takes files in and stops at a step, to be killed there: `... -m tests.imaging.killed_intake STEP SLUG ORDER FILE...`.

One file goes in by itself, several as a group. ORDER is a radiology order's id, or 0.
"""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.imaging import intake
from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.imaging.stores import writing
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import known_tenants
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import spool_of

STEPS = ("received", "read", "rows", "put 1", "counted", "committed")
"""Before the parser, after it, with the rows, after so many objects, with the counts, after the commit."""


def steps(objects: int) -> tuple[str, ...]:
    """The same where so many objects are put."""
    return (*STEPS[:3], *(f"put {number}" for number in range(1, objects + 1)), *STEPS[4:])


def stop(step: str) -> None:
    """Where the step is the wanted one, say that it is reached, and wait to be killed."""
    if step == sys.argv[1]:
        print("there", flush=True)
        time.sleep(60)


def stopping_after(step: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def stopped(*args: Any, **more: Any) -> Any:
        result = work(*args, **more)
        stop(step)
        return result

    return stopped


def stopping_before(step: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def stopped(*args: Any, **more: Any) -> Any:
        stop(step)
        return work(*args, **more)

    return stopped


class Stopping:
    """Image storage that stops before its first object, and after each: one after the other here, to be counted."""

    def __init__(self, slug: str) -> None:
        self._storage = storage_for_new(slug)
        self.name, self.read, self.stat = self._storage.name, self._storage.read, self._storage.stat
        self._kept, self._turn = 0, threading.Lock()

    def put(self, key: str, source: Path, **more: Any) -> bool:
        with self._turn:
            stop("rows")
            is_new = self._storage.put(key, source, **more)
            self._kept += 1
            stop(f"put {self._kept}")
        return is_new


def main() -> None:
    """Take the files in."""
    slug, order_id, files = sys.argv[2], int(sys.argv[3]) or None, [Path(name) for name in sys.argv[4:]]
    [tenant] = known_tenants(slug)
    offers = []
    for file in files:
        path = spool_of(slug).fresh()
        path.write_bytes(file.read_bytes())
        offers.append(Offer(path=path, filename=file.name, source="stow", radiology_order_id=order_id))
    writing._finish = stopping_after("counted", writing._finish)
    intake.finish_group = stopping_after("counted", intake.finish_group)  # type: ignore[attr-defined]
    Intake._write_together = stopping_before("read", Intake._write_together)  # type: ignore[method-assign]
    Path.unlink = stopping_before("committed", Path.unlink)  # type: ignore[method-assign]
    stop("received")
    Intake(tenant.id, SYSTEM, Stopping(slug), pool()).take_many(offers)  # type: ignore[arg-type] # what it asks of it


if __name__ == "__main__":
    main()
