"""Types of the fields that arrive from outside: trimmed, bounded, without characters a database or mail refuses."""

import re
import unicodedata
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

LARGEST_ID = 2**63 - 1
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9]([a-z0-9.-]{0,187}[a-z0-9])?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def one_line(value: str) -> str:
    """`value` when it has no control character (NUL and line ends included) and can be written as UTF-8."""
    return _without_controls(value, allowed="")


def _line_feeds(value: Any) -> Any:
    """Line ends of a browser's forms as one character each, before a text's length is looked at."""
    return value.replace("\r\n", "\n") if isinstance(value, str) else value


def several_lines(value: str) -> str:
    """`value` with its line ends as they are, when it has no other control character."""
    return _without_controls(value, allowed="\n\t")


def _without_controls(value: str, *, allowed: str) -> str:
    for character in value:
        if character not in allowed and unicodedata.category(character) in ("Cc", "Cs"):
            raise ValueError("contains a character that is not allowed")
    return value


def _email(value: str) -> str:
    address = value.lower()
    if _EMAIL.fullmatch(address) is None or ".." in address:
        raise ValueError("is not an e-mail address")
    return address


def _iso_date(value: Any) -> Any:
    if isinstance(value, date) or value is None:
        return value
    if not isinstance(value, str) or _ISO_DATE.fullmatch(value.strip()) is None:
        raise ValueError("is not a date like 1980-12-31")
    return value.strip()


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(one_line)]
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200), AfterValidator(one_line)]
Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=2000),
    BeforeValidator(_line_feeds),
    AfterValidator(several_lines),
]
Report = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=20_000),
    BeforeValidator(_line_feeds),
    AfterValidator(several_lines),
]
"""A finding of some pages."""
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), AfterValidator(one_line)]
Email = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=254), AfterValidator(_email)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
IsoDate = Annotated[date, BeforeValidator(_iso_date), WithJsonSchema({"type": "string", "format": "date"})]
