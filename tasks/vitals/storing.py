"""The readings of files into the database, in transactions of a few thousand, and what the suite found with them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import structlog
from sqlalchemy.exc import OperationalError

from models.kernel.audit import Actor
from models.kernel.tenancy import tenant_session
from models.upkeep.quality import Validation, record_validation
from models.vitals.stores.file_batches import MOST_AT_ONCE, FileReading, store_file_readings
from tasks.runs import described
from tasks.vitals.contents import Fault
from tasks.vitals.outcomes import FileOutcome

LANES = 2
_counting = Lock()
"""A file's readings may come in both lanes."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Storing:
    """Whose readings they are, when they came, and who brings them."""

    tenant_id: int
    received_at: datetime
    actor: Actor


@dataclass(frozen=True, slots=True)
class Wish:
    """A reading that shall be stored, and its place in its file."""

    file: FileOutcome
    index: int
    reading: FileReading


def store(storing: Storing, wishes: Sequence[Wish], validation: Validation | None) -> None:
    """Store them and count for each file what became of its own; what the suite found is kept with the last.

    Two connections share the work by device, so that one transaction is prepared while another is carried out; the
    readings of a device keep their order.
    """
    chunks: list[Sequence[Wish]] = []
    for lane in range(LANES):
        lanes = [wish for wish in wishes if wish.reading.device_id % LANES == lane]
        chunks += [lanes[start : start + MOST_AT_ONCE] for start in range(0, len(lanes), MOST_AT_ONCE)]
    last = chunks.pop() if chunks else []
    with ThreadPoolExecutor(LANES) as pool:
        done = [pool.submit(_store_all, storing, lane) for lane in _by_lane(chunks) if lane]
        for one in done:
            one.result()
    _store_surely(storing, last, validation)


def _by_lane(chunks: Sequence[Sequence[Wish]]) -> list[list[Sequence[Wish]]]:
    return [[chunk for chunk in chunks if chunk[0].reading.device_id % LANES == lane] for lane in range(LANES)]


def _store_all(storing: Storing, chunks: Sequence[Sequence[Wish]]) -> None:
    for chunk in chunks:
        _store_surely(storing, chunk, None)


def _store_surely(storing: Storing, wishes: Sequence[Wish], validation: Validation | None) -> None:
    """One reading that makes the rest fail is found by halving, and is a fault of its file."""
    try:
        with tenant_session(storing.tenant_id) as session:
            readings = [wish.reading for wish in wishes]
            fates = store_file_readings(session, storing.tenant_id, storing.received_at, readings)
            if validation is not None:
                record_validation(session, storing.tenant_id, storing.actor, validation)
    except OperationalError:
        raise  # the database, not a reading
    except Exception as error:
        if not wishes:
            raise
        if len(wishes) > 1:
            half = len(wishes) // 2
            _store_surely(storing, wishes[:half], None)
            _store_surely(storing, wishes[half:], validation)
            return
        log.error("a reading could not be stored", file=wishes[0].file.fingerprint, error=described(error))
        with _counting:
            _fault(wishes[0], "could not be stored")
        _store_surely(storing, [], validation)
        return
    with _counting:
        for wish, fate in zip(wishes, fates, strict=True):
            if fate == "unassigned":
                _fault(wish, "Device not assigned to patient")
            else:
                wish.file.readings[fate] += 1


def _fault(wish: Wish, reason: str) -> None:
    wish.file.faults.append(Fault(wish.index, "", reason))
    wish.file.readings["not taken"] += 1
