"""The National Early Warning Score 2, whole or not at all. Pure.

Source: Royal College of Physicians, National Early Warning Score (NEWS) 2, London 2017, chart 1, with SpO2 scale 1,
which is for everybody but patients with hypercapnic respiratory failure. The chart has whole numbers and tenths; a
value between two bands (39.05 °C) counts as of the worse one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Chart:
    """The points of one input: over each limit of `over`, under each of `under`; the greatest counts, else none."""

    over: tuple[tuple[Decimal, int], ...] = ()
    under: tuple[tuple[Decimal, int], ...] = ()

    def points(self, value: Decimal) -> int:
        """0 to 3."""
        over = (points for limit, points in self.over if value > limit)
        under = (points for limit, points in self.under if value < limit)
        return max([*over, *under], default=0)


def _limits(*limits: tuple[str, int]) -> tuple[tuple[Decimal, int], ...]:
    return tuple((Decimal(limit), points) for limit, points in limits)


CHARTS: Mapping[str, Chart] = {
    "respiratory_rate": Chart(over=_limits(("20", 2), ("24", 3)), under=_limits(("12", 1), ("9", 3))),
    "oxygen_saturation": Chart(under=_limits(("96", 1), ("94", 2), ("92", 3))),
    "blood_pressure_systolic": Chart(over=_limits(("219", 3)), under=_limits(("111", 1), ("101", 2), ("91", 3))),
    "heart_rate": Chart(over=_limits(("90", 1), ("110", 2), ("130", 3)), under=_limits(("51", 1), ("41", 3))),
    "temperature": Chart(over=_limits(("38.0", 1), ("39.0", 2)), under=_limits(("36.1", 1), ("35.1", 3))),
}
ON_OXYGEN, NOT_ALERT = 2, 3
HIGHEST = 20


def consciousness_points(consciousness: str) -> int:
    """0 for an alert patient; 3 for new confusion, and for who reacts to voice or pain only, or not at all."""
    return 0 if consciousness == "alert" else NOT_ALERT


def news2(values: Mapping[str, Decimal], *, consciousness: str | None, supplemental_oxygen: bool | None) -> int | None:
    """The score of 0 to 20 when all seven inputs are known, else None: a part of the sum is no score."""
    if consciousness is None or supplemental_oxygen is None or not values.keys() >= CHARTS.keys():
        return None
    measured = sum(chart.points(values[name]) for name, chart in CHARTS.items())
    return measured + consciousness_points(consciousness) + (ON_OXYGEN if supplemental_oxygen else 0)
