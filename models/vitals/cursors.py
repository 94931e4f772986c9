"""A place in a list that grows at its head: the row after which the next page begins. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.kernel.errors import InvalidError
from models.kernel.fields import LARGEST_ID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Place:
    """The last row that was shown."""

    moment: datetime
    id: int

    def told(self) -> str:
        """As an address carries it."""
        return urlsafe_b64encode(f"{(self.moment - EPOCH) // MICROSECOND}:{self.id}".encode()).decode().rstrip("=")


def place(told: str) -> Place | None:
    """The place of a cursor, None for an empty one; InvalidError for what is none."""
    if not told:
        return None
    try:
        moment, number = urlsafe_b64decode(told + "=" * (-len(told) % 4)).decode("ascii").split(":")
        found = Place(EPOCH + int(moment) * MICROSECOND, int(number))
    except (ValueError, OverflowError):
        raise InvalidError("is no cursor of this list", field="cursor") from None
    if not 0 <= found.id <= LARGEST_ID:
        raise InvalidError("is no cursor of this list", field="cursor")
    return found
