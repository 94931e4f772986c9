"""The error of one file among several of a request: what is told of it, and what is noted in the server's log."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from api.errors import MEANING, status_of
from api.middleware import where
from models.kernel.errors import AwayError, LabwireError

MISTAKE, AWAY = 500, 503

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Status and words that a request of its own would have ended with; the field where one is to blame."""

    status: int
    error: str
    field: str | None = None


def failure_of(error: Exception) -> Failure:
    """Told to its sender; what is our fault or an outage is noted too."""
    status = status_of(error)
    if status in (MISTAKE, AWAY):
        _note(error, status)
    if isinstance(error, LabwireError) and status != MISTAKE:
        return Failure(status, str(error), getattr(error, "field", None))
    return Failure(status, MEANING[status])


def raise_common(errors: Sequence[Exception]) -> None:
    """The error of a request of which nothing was taken, where all its files failed alike: the first one is raised."""
    if errors and len({status_of(error) for error in errors}) == 1:
        raise errors[0]


def _note(error: Exception, status: int) -> None:
    """In the server's log: messages of other errors than ours may hold values."""
    if isinstance(error, AwayError):
        log.error("a file cannot be stored: %s", error)
    elif status == MISTAKE:
        log.error("a file failed: %s", where(error))
    else:
        log.warning("a file cannot be stored just now: %s", where(error))
