"""Reading a test catalogue from JSON or CSV: every good row, and every problem with its place and field. Pure."""

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from models.instruments.catalogue_inputs import PanelInput, TestInput

Format = Literal["json", "csv"]
LARGEST_FILE = 5_000_000
MOST_ROWS = 20_000
MOST_PROBLEMS = 200

# column of a CSV file: field of a range
RANGE_COLUMNS = {
    "sex": "sex",
    "age_from_days": "age_from_days",
    "age_to_days": "age_to_days",
    "range_low": "low",
    "range_high": "high",
    "range_panic_low": "panic_low",
    "range_panic_high": "panic_high",
}
TEST_COLUMNS = tuple(name for name in TestInput.model_fields if name != "ranges")
COLUMNS = (*TEST_COLUMNS, *RANGE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one row: where (`line 7`, `tests[3]`), which field, and why; never the content itself."""

    place: str
    field: str
    message: str


@dataclass(slots=True)
class ParsedCatalogue:
    """A file as far as it could be read. `places` says where each test or panel stands, by kind and code."""

    sha256: str
    tests: dict[str, TestInput] = field(default_factory=dict)
    panels: dict[str, PanelInput] = field(default_factory=dict)
    places: dict[tuple[str, str], str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class _CsvTest:
    """A test gathered from its rows."""

    place: str
    content: dict[str, Any]
    range_places: list[str] = field(default_factory=list)


def parse_catalogue(content: bytes, format_: Format) -> ParsedCatalogue:
    """The tests and panels of a file and everything that is wrong with it; it never raises for what a file says."""
    parsed = ParsedCatalogue(hashlib.sha256(format_.encode() + b"\n" + content).hexdigest())
    if len(content) > LARGEST_FILE:
        parsed.problems.append(Problem("file", "file", f"has more than {LARGEST_FILE} bytes"))
        return parsed
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        parsed.problems.append(Problem("file", "file", "is not UTF-8 text"))
        return parsed
    (_read_json if format_ == "json" else _read_csv)(text, parsed)
    del parsed.problems[MOST_PROBLEMS:]
    return parsed


def _read_json(text: str, parsed: ParsedCatalogue) -> None:
    try:
        content = json.loads(text, parse_float=str)
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "file"
        parsed.problems.append(Problem(place, "file", "is not readable as JSON"))
        return
    if not isinstance(content, dict) or not set(content) <= {"tests", "panels"}:
        parsed.problems.append(Problem("file", "file", 'is not an object with "tests" and "panels"'))
        return
    for kind in ("tests", "panels"):
        rows = content.get(kind, [])
        if not isinstance(rows, list) or len(rows) > MOST_ROWS:
            parsed.problems.append(Problem("file", kind, f"is not a list of at most {MOST_ROWS}"))
            continue
        for number, row in enumerate(rows):
            _take(parsed, kind, row, f"{kind}[{number}]")


def _read_csv(text: str, parsed: ParsedCatalogue) -> None:
    """One row per reference range. Later rows of a test repeat its code, and leave the rest empty or the same."""
    separator = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = reader.fieldnames or []
    except csv.Error:
        parsed.problems.append(Problem("line 1", "header", "is not readable as CSV"))
        return
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or "code" not in header or len(header) != len(set(header)):
        message = f"the columns are some of {', '.join(COLUMNS)}, each once, code among them"
        parsed.problems.append(Problem("line 1", "header", message))
        return
    tests: dict[str, _CsvTest] = {}
    try:
        for place, row in _lines(reader):
            _gather(parsed, tests, place, row)
    except csv.Error:
        parsed.problems.append(Problem(f"line {reader.line_num + 1}", "row", "is not readable as CSV"))
        return
    for test in tests.values():
        _take(parsed, "tests", test.content, test.place, test.range_places)


def _lines(reader: "csv.DictReader[str]") -> Iterator[tuple[str, Mapping[str | None, Any]]]:
    for number, row in enumerate(reader):
        if number >= MOST_ROWS:
            raise csv.Error("too many rows")
        if any(value not in (None, "") for value in row.values()):
            yield f"line {reader.line_num}", row


def _gather(
    parsed: ParsedCatalogue,
    tests: dict[str, _CsvTest],
    place: str,
    row: Mapping[str | None, Any],
) -> None:
    if None in row or None in row.values():
        parsed.problems.append(Problem(place, "row", "has another number of fields than the header"))
        return
    cells = {str(name): value.strip() for name, value in row.items() if value.strip()}
    code = cells.get("code")
    if code is None:
        parsed.problems.append(Problem(place, "code", "is missing"))
        return
    own = {name: value for name, value in cells.items() if name in TEST_COLUMNS}
    test = tests.setdefault(code, _CsvTest(place, dict(own, ranges=[])))
    for name, value in own.items():
        if test.content.get(name) != value:
            parsed.problems.append(Problem(place, name, "differs from an earlier row of the same test"))
            return
    span = {RANGE_COLUMNS[name]: value for name, value in cells.items() if name in RANGE_COLUMNS}
    if span:
        test.content["ranges"].append(span)
        test.range_places.append(place)


def _take(
    parsed: ParsedCatalogue, kind: str, row: object, place: str, range_places: Sequence[str] | None = None
) -> None:
    """Check one row and note it, or its problems; in CSV a range has a line and columns of its own."""
    model: type[TestInput] | type[PanelInput] = TestInput if kind == "tests" else PanelInput
    try:
        given = model.model_validate(row)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False, include_context=False):
            found, name = _where(problem["loc"], place, range_places)
            parsed.problems.append(Problem(found, name, problem["msg"].removeprefix("Value error, ")))
        return
    if (kind, given.code) in parsed.places:
        parsed.problems.append(Problem(place, "code", f"occurs already at {parsed.places[kind, given.code]}"))
        return
    parsed.places[kind, given.code] = place
    if isinstance(given, TestInput):
        parsed.tests[given.code] = given
    else:
        parsed.panels[given.code] = given


def _where(loc: tuple[int | str, ...], place: str, range_places: Sequence[str] | None) -> tuple[str, str]:
    """Place and field of a problem, as the reader of the file knows them."""
    if range_places is not None and loc[:1] == ("ranges",) and len(loc) > 1:
        columns = {name: column for column, name in RANGE_COLUMNS.items()}
        return range_places[int(loc[1])], columns.get(str(loc[-1]), "row")
    return place, ".".join(str(part) for part in loc) or "row"
