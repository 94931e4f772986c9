"""Reading a measured value: text in, Decimal out, nothing guessed. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal

MOST_CHARACTERS = 64
_NUMBER = re.compile(
    r"(?P<comparator><=|>=|<|>)?[ ]?(?P<number>[+-]?\d{1,15}(\.\d{1,15})?([eE][+-]?\d{1,2})?)", re.ASCII
)

# A litre alone or after a metric prefix, as a whole part of a unit: dl and /ul, but not mol or cal.
_LITRE = re.compile(r"(?<![A-Za-z\]}])(?P<prefix>da|[YZEPTGMkhdcmunpfazy])?l(?![A-Za-z\[{_])")


@dataclass(frozen=True, slots=True)
class ParsedValue:
    """A value as received, its number where the test is numeric, and its comparator beyond the measuring range."""

    raw: str
    number: Decimal | None
    comparator: str | None = None


class UnreadableValueError(ValueError):
    """The text is not a value of this type; the message says what was expected and never repeats the text."""


def same_unit(one: str, other: str) -> bool:
    """Whether two units are the same by UCUM, which is case sensitive; nothing is converted.

    UCUM itself has two spellings of a few symbols: l and L for the litre, 10* and 10^ for a power of ten. The micro
    sign is what UCUM prints for its u.
    """
    return spelling(one) == spelling(other)


def spelling(unit: str) -> str:
    """The one spelling of a unit of which UCUM has several."""
    text = unit.strip().replace("\N{MICRO SIGN}", "u").replace("\N{GREEK SMALL LETTER MU}", "u").replace("10^", "10*")
    return _LITRE.sub(lambda found: f"{found['prefix'] or ''}L", text)


def parse_value(raw: str | None, result_type: str) -> ParsedValue:
    """The value of a `numeric` or `text` test; UnreadableValueError otherwise.

    Numbers have a decimal point. "12,5" is refused rather than guessed: it is 12.5 in one country and 125 in another.
    "<0.01" and ">500" are values at the end of the measuring range: the number is kept with its comparator.
    """
    text = (raw or "").strip()
    if not text:
        raise UnreadableValueError("there is no value")
    if result_type == "text":
        if len(text) > 4000 or not text.isprintable():
            raise UnreadableValueError("the value is not printable text of at most 4000 characters")
        return ParsedValue(text, None)
    match = _NUMBER.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    if match is None:
        raise UnreadableValueError("the value is not a number with a decimal point, such as 12.5 or <0.01")
    return ParsedValue(text, Decimal(match["number"]), match["comparator"])
