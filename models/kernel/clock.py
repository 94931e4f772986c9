"""The hub's clock: aware UTC, from one place."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment as an aware UTC datetime."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is refused with ValueError, because its zone is unknown."""
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset or a zone")
    return moment.astimezone(UTC)
