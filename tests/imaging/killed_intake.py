"""Takes one file in and stops at a step, to be killed there: `... -m tests.imaging.killed_intake STEP FILE SLUG`."""

import sys
import time
from pathlib import Path
from typing import Any

from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.imaging.stores import writing
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import known_tenants
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import spool_of

STEPS = ("received", "read", "rows", "put", "counted", "committed")


def stop(step: str, wanted: str) -> None:
    """Say that the step is reached, and wait to be killed."""
    if step == wanted:
        print("there", flush=True)
        time.sleep(60)


def main() -> None:
    """Stop before the parser (`received`), after it, with rows, with the object, with the counts, after the commit."""
    wanted, file, slug = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    [tenant] = known_tenants(slug)
    path = spool_of(slug).fresh()
    path.write_bytes(file.read_bytes())
    storage = storage_for_new(slug)

    class Stopping:
        name = storage.name

        def put(self, key: str, source: Path, **more: Any) -> bool:
            stop("rows", wanted)
            is_new = storage.put(key, source, **more)
            stop("put", wanted)
            return is_new

    finish = writing._finish

    def finishing(*args: Any, **more: Any) -> None:
        finish(*args, **more)
        stop("counted", wanted)

    writing._finish = finishing
    stop("received", wanted)
    intake = Intake(tenant.id, SYSTEM, Stopping(), pool())  # type: ignore[arg-type] # all that the intake asks of it
    take = Intake._write

    def writing_stopped(self: Intake, *args: Any) -> Any:
        stop("read", wanted)
        return take(self, *args)

    Intake._write = writing_stopped  # type: ignore[method-assign,assignment]
    unlink = Path.unlink

    def unlinking(self: Path, **more: Any) -> None:
        stop("committed", wanted)
        unlink(self, **more)

    Path.unlink = unlinking  # type: ignore[method-assign,assignment]
    intake.take(Offer(path=path, filename="image.dcm", source="stow"))


if __name__ == "__main__":
    main()
