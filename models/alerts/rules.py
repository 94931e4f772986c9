"""What is abnormal, how much, and when it is over: limits per vital sign with their clinical source. Pure.

A value alarms beyond a limit, never at it. An alert is over when the value is back inside the warning's limit by the
kind's margin, so that a value that swings about the limit makes one alert and not many.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from models.alerts.news2 import consciousness_points, news2


class Level(StrEnum):
    """How bad it is; `rank` orders them."""

    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Greater is worse."""
        return 1 if self is Level.WARNING else 2


@dataclass(frozen=True, slots=True)
class Threshold:
    """One kind of alert: a measure, a direction and its limits in the measure's canonical unit.

    A limit of None has no level. `is_on` False: this kind never alarms.
    """

    kind: str
    label: str
    measure: str
    unit: str
    is_high: bool
    warning: Decimal | None
    critical: Decimal | None
    margin: Decimal
    source: str
    is_on: bool = True

    def level(self, value: Decimal) -> Level | None:
        """How bad `value` is; None inside the limits."""
        if not self.is_on:
            return None
        if self._is_beyond(value, self.critical):
            return Level.CRITICAL
        return Level.WARNING if self._is_beyond(value, self.warning) else None

    def is_over(self, value: Decimal) -> bool:
        """Whether an open alert of this kind ends with `value`."""
        limit = self.warning if self.warning is not None else self.critical
        if limit is None or not self.is_on:
            return True
        return value <= limit - self.margin if self.is_high else value >= limit + self.margin

    def _is_beyond(self, value: Decimal, limit: Decimal | None) -> bool:
        if limit is None:
            return False
        return value > limit if self.is_high else value < limit


NEWS2 = "RCP, NEWS2 2017"
ADA = "ADA, Standards of Care in Diabetes, section 6"
ACC_AHA = "ACC/AHA, guideline for high blood pressure 2017"


def _kind(
    kind: str, label: str, unit: str, limits: tuple[str | None, str | None, str], source: str, measure: str = ""
) -> Threshold:
    warning, critical = (None if limit is None else Decimal(limit) for limit in limits[:2])
    base, _, direction = kind.rpartition("_")
    is_high = direction == "high"
    return Threshold(kind, label, measure or base, unit, is_high, warning, critical, Decimal(limits[2] or 0), source)


KINDS: tuple[Threshold, ...] = (
    _kind("heart_rate_high", "Heart rate high", "/min", ("110", "130", "5"), NEWS2),
    _kind("heart_rate_low", "Heart rate low", "/min", ("51", "41", "3"), NEWS2),
    _kind("respiratory_rate_high", "Respiratory rate high", "/min", ("20", "24", "1"), NEWS2),
    _kind("respiratory_rate_low", "Respiratory rate low", "/min", ("12", "9", "1"), NEWS2),
    _kind("oxygen_saturation_low", "Oxygen saturation low", "%", ("94", "92", "1"), f"{NEWS2}, SpO2 scale 1"),
    _kind("blood_pressure_systolic_low", "Systolic blood pressure low", "mm[Hg]", ("101", "91", "5"), NEWS2),
    _kind("blood_pressure_systolic_high", "Systolic blood pressure high", "mm[Hg]", ("159", "180", "5"), ACC_AHA),
    _kind("blood_pressure_diastolic_high", "Diastolic blood pressure high", "mm[Hg]", ("99", "120", "5"), ACC_AHA),
    _kind("temperature_low", "Temperature low", "Cel", ("36.1", "35.1", "0.2"), NEWS2),
    _kind("temperature_high", "Temperature high", "Cel", ("39.0", "40.0", "0.3"), f"{NEWS2}; NEJM 2002;346:1978"),
    _kind("glucose_low", "Glucose low", "mg/dL", ("70", "54", "5"), ADA),
    _kind("glucose_high", "Glucose high", "mg/dL", ("250", "600", "10"), f"{ADA}; Diabetes Care 2009;32:1335"),
    _kind("consciousness_high", "Consciousness altered", "{points}", (None, "2", "0"), NEWS2),
    _kind("news2_high", "NEWS2 high", "{score}", ("4", "6", "0"), NEWS2),
)
"""The usual limits; a tenant's and a patient's own go before them.

- NEWS2 (Royal College of Physicians, 2017): critical is its band of three points, at which a single input asks for an
  urgent review; warning its band of two, or where there is none the band of one next to it. The score: 5 and more is
  the threshold for urgent, 7 and more for emergency response.
- Temperature over 40 °C is the definition of heat stroke (Bouchama and Knochel, NEJM 2002;346:1978); NEWS2 gives no
  three points for fever.
- Blood pressure: over 180 and/or over 120 mmHg is the crisis of the 2017 ACC/AHA guideline (Whelton, Hypertension
  2018;71:e13); from 160 and/or 100 it asks for prompt treatment.
- Glucose: ADA level 1 hypoglycaemia is under 70 and level 2 under 54 mg/dL; level 2 hyperglycaemia is over 250; over
  600 is the hyperosmolar state (Kitabchi, Diabetes Care 2009;32:1335).
- Margins are ours: about what a cuff, a thermometer or a meter is wrong by.
"""

BY_KIND: Mapping[str, Threshold] = {one.kind: one for one in KINDS}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a tenant or a patient (`patient_id`) has of its own for one kind; a limit of None is the usual one."""

    kind: str
    patient_id: int | None = None
    warning: Decimal | None = None
    critical: Decimal | None = None
    margin: Decimal | None = None
    is_on: bool = True


def adjusted(adjustments: Iterable[Adjustment]) -> dict[str, Threshold]:
    """All kinds by name: a patient's own limits before the tenant's, the tenant's before the usual ones."""
    found = dict(BY_KIND)
    for one in sorted(adjustments, key=lambda one: one.patient_id is not None):
        if one.kind not in found:
            continue
        own = {name: getattr(one, name) for name in ("warning", "critical", "margin")}
        given = {name: value for name, value in own.items() if value is not None}
        found[one.kind] = replace(found[one.kind], is_on=one.is_on, **given)
    return found


Range = tuple[Decimal, Decimal]


def healthy(thresholds: Iterable[Threshold]) -> dict[str, Range]:
    """For each measure the least and the greatest value at which nothing alarms."""
    ranges: dict[str, Range] = {}
    for one in thresholds:
        limits = [limit for limit in (one.warning, one.critical) if limit is not None and one.is_on]
        low, high = ranges.get(one.measure, (Decimal("-Infinity"), Decimal("Infinity")))
        ranges[one.measure] = (low, min([high, *limits])) if one.is_high else (max([low, *limits]), high)
    return ranges


def readings_of(
    values: Mapping[str, Decimal], *, consciousness: str | None, supplemental_oxygen: bool | None
) -> dict[str, Decimal]:
    """What there is to judge: the values by measure, the points of consciousness, and the NEWS2 score where whole."""
    found = dict(values)
    if consciousness is not None:
        found["consciousness"] = Decimal(consciousness_points(consciousness))
    score = news2(values, consciousness=consciousness, supplemental_oxygen=supplemental_oxygen)
    if score is not None:
        found["news2"] = Decimal(score)
    return found
