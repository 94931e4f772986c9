"""The hub's clock: aware UTC, from one place."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The present moment as an aware UTC datetime."""
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """The same moment in UTC; ValueError for a naive one, whose zone is unknown, and one beyond the calendar in UTC."""
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset or a zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time lies beyond the calendar") from None
