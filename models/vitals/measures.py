"""The eight vital signs: their units, what is physically possible, and how units are converted. Pure.

Every reading is kept as it was given and in one canonical unit, both exact decimals.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

KILOGRAMS_PER_POUND = Decimal("0.45359237")
"""Exact: the international avoirdupois pound (NIST Handbook 44, appendix C)."""
MILLIGRAMS_PER_DECILITRE_PER_MILLIMOLE = Decimal("18.0156")
"""Glucose: 180.156 g/mol (NIST Chemistry WebBook, D-glucose), a tenth of it for the decilitre."""
HUNDREDTH = Decimal("0.01")
MOST_DIGITS = 15
_WIDE = Context(prec=4 * MOST_DIGITS)
"""15 digits and a power of ten of 15, in hundredths: more than decimals are rounded to by default."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One vital sign. `lowest` and `highest` (canonical unit) are what a living person can have, not what is healthy.

    `units` gives for each accepted unit the way to the canonical one; `usual` is meant where a reading names none.
    """

    name: str
    label: str
    canonical: str
    """A UCUM code."""
    lowest: Decimal
    highest: Decimal
    is_whole: bool = False
    unit_field: str | None = None
    usual: str = ""
    units: Mapping[str, Callable[[Decimal], Decimal]] | None = None

    def to_canonical(self, value: Decimal, unit: str | None) -> Decimal:
        """`value` in the canonical unit, to a hundredth where it had to be converted. KeyError for an unknown unit."""
        if self.units is None:
            return value
        converted = self.units[unit or self.usual](value)
        return value if converted is value else converted.quantize(HUNDREDTH, ROUND_HALF_EVEN, _WIDE)

    def is_possible(self, canonical: Decimal) -> bool:
        """Whether a living person can have it."""
        return self.lowest <= canonical <= self.highest


def _same(value: Decimal) -> Decimal:
    return value


def celsius(fahrenheit: Decimal) -> Decimal:
    """Degrees Celsius."""
    return (fahrenheit - 32) * 5 / 9


def kilograms(pounds: Decimal) -> Decimal:
    """Kilograms of avoirdupois pounds."""
    return pounds * KILOGRAMS_PER_POUND


def milligrams_per_decilitre(millimoles_per_litre: Decimal) -> Decimal:
    """Glucose in mg/dL of mmol/L."""
    return millimoles_per_litre * MILLIGRAMS_PER_DECILITRE_PER_MILLIMOLE


def _whole(name: str, label: str, canonical: str, lowest: int, highest: int) -> Measure:
    return Measure(name, label, canonical, Decimal(lowest), Decimal(highest), is_whole=True)


MEASURES: tuple[Measure, ...] = (
    _whole("heart_rate", "Heart rate", "/min", 10, 350),
    _whole("blood_pressure_systolic", "Systolic blood pressure", "mm[Hg]", 20, 350),
    _whole("blood_pressure_diastolic", "Diastolic blood pressure", "mm[Hg]", 5, 250),
    Measure(
        *("temperature", "Temperature", "Cel", Decimal(13), Decimal(47)),
        unit_field="temperature_unit",
        usual="F",
        units={"F": celsius, "C": _same},
    ),
    _whole("respiratory_rate", "Respiratory rate", "/min", 0, 120),
    Measure("oxygen_saturation", "Oxygen saturation", "%", Decimal(20), Decimal(100)),
    Measure(
        *("glucose", "Glucose", "mg/dL", Decimal(5), Decimal(3000)),
        unit_field="glucose_unit",
        usual="mg/dL",
        units={"mg/dL": _same, "mmol/L": milligrams_per_decilitre},
    ),
    Measure(
        *("weight", "Weight", "kg", Decimal("0.2"), Decimal(700)),
        unit_field="weight_unit",
        usual="lbs",
        units={"lbs": kilograms, "kg": _same},
    ),
)
"""Bounds hold the extremes of the medical literature: 13.7 °C survived (Gilbert, Lancet 2000;355:375), 46.5 °C survived
(Slovis, Ann Emerg Med 1982;11:269), glucose 2,656 mg/dL survived, 635 kg the greatest known weight, 212 g the smallest
child that lived. A reading outside them is the device's mistake or its wearer's, and is held."""

BY_NAME: Mapping[str, Measure] = {measure.name: measure for measure in MEASURES}
