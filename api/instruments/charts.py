"""Small drawings the server makes as SVG: where a value lies in its range, and how an instrument's checks went."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from models.instruments.flags import Limits
from models.instruments.stores.fleet import CheckSlot

WIDTH = 240.0


@dataclass(frozen=True, slots=True)
class Box:
    """A stretch of a bar: its class, where it begins and how wide it is."""

    kind: str
    x: float
    width: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class RangeBar:
    """The stretches of a range from left to right, and where the value's mark stands."""

    boxes: list[Box]
    mark: float
    width: float = WIDTH


def range_bar(value: Decimal | None, limits: Limits) -> RangeBar | None:
    """Where the value lies between its limits; None without a value or any limit. Beyond the ends it stands at them."""
    given = [float(one) for one in (limits.low, limits.high, limits.panic_low, limits.panic_high) if one is not None]
    if value is None or not given:
        return None
    room = (max(given) - min(given)) * 0.25 or abs(max(given)) * 0.5 or 1.0
    start, end = min(given) - room, max(given) + room

    def place(number: float) -> float:
        return round((min(max(number, start), end) - start) / (end - start) * WIDTH, 1)

    edges = sorted({start, end, *given})
    boxes = [
        Box(_zone((left + right) / 2, limits), place(left), round(place(right) - place(left), 1))
        for left, right in pairwise(edges)
    ]
    return RangeBar(boxes, place(float(value)))


def _zone(number: float, limits: Limits) -> str:
    """What a value in the middle of a stretch would be."""
    if limits.panic_low is not None and number < limits.panic_low:
        return "critical"
    if limits.panic_high is not None and number > limits.panic_high:
        return "critical"
    is_outside = (limits.low is not None and number < limits.low) or (limits.high is not None and number > limits.high)
    return "outside" if is_outside else "inside"


def check_strip(slots: Sequence[CheckSlot]) -> list[Box]:
    """One box per stretch of time: up, partly, down, or none where nothing was asked."""
    step = WIDTH / max(len(slots), 1)
    return [Box(_kind(slot), round(number * step, 2), round(step * 0.86, 2)) for number, slot in enumerate(slots)]


def _kind(slot: CheckSlot) -> str:
    if not slot.checks:
        return "none"
    if slot.online == slot.checks:
        return "up"
    return "down" if slot.online == 0 else "partly"
