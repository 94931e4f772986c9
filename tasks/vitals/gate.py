"""The batch rules: the readings of a run's files as one frame, looked at once by the Great Expectations suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from models.upkeep.quality import Validation
from models.vitals.measures import BY_NAME
from models.vitals.rules import Finding, findings
from models.vitals.stores.file_batches import FileReading
from tasks.quality import validate
from tasks.vitals.contents import Parsed

FEW = 20
"""Of fewer readings in a file no share is counted: each is judged for itself."""
HOLDS = {**{name: name for name in BY_NAME}, "seconds_ahead": "timestamp"}
"""Columns whose failure holds a reading -> the field it names. The row rules name it first, by a rule of its own."""
SHARE = "bad_percent_of_file"


@dataclass(frozen=True, slots=True)
class FileToJudge:
    """A file's readings, whose tenant it is of, and its number in this run."""

    number: int
    tenant_id: int
    parsed: Parsed
    backfill_days: int


@dataclass(frozen=True, slots=True)
class Judged:
    """`wrong_as_a_whole`: files, by number, of which nothing is stored; `validations` by tenant id."""

    wrong_as_a_whole: frozenset[int]
    validations: Mapping[int, Validation]


def judge(files: Sequence[FileToJudge], now: datetime) -> Judged:
    """Hold what the suite holds, in place, and name the files that are wrong as a whole.

    Anything that goes wrong here is raised, so that nothing is let through unjudged.
    """
    rows: list[dict[str, Any]] = []
    places: list[tuple[FileToJudge, int]] = []
    for file in files:
        rows += _rows(file, len(rows), places, now)
    if not rows:
        return Judged(frozenset(), {})
    from expectations.vitals import build_suite  # imported here: it takes seconds

    verdict = validate(build_suite, rows, ids=("row", "file", "device_id"))
    if verdict.whole:
        raise ValueError("the suite has an expectation about a batch, and nothing here to hold by it")
    wrong = set()
    for row, columns in verdict.failures.items():
        file, index = places[row]
        if SHARE in columns:
            wrong.add(file.number)
        _hold(file.parsed, index, {HOLDS[column] for column in columns if column in HOLDS}, file, now)
    return Judged(frozenset(wrong), verdict.validations)


def _rows(file: FileToJudge, first: int, places: list[tuple[FileToJudge, int]], now: datetime) -> list[dict[str, Any]]:
    """What the suite looks at; what it expects of it is written down in expectations/vitals.py alone."""
    faults = {fault.index: fault for fault in file.parsed.faults}
    latest: dict[int, datetime] = {}
    copies: dict[tuple[int, datetime, bytes], int] = {}
    rows, bad = [], len(faults)
    for index in range(file.parsed.total):
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {"tenant_id": file.tenant_id, "row": first + index, "file": file.number, "device_id": 0}
        if (each := file.parsed.good.get(index)) is None:
            is_of_unknown = faults[index].field == "device_id"
            row |= {"device_known": int(not is_of_unknown), "readable": int(is_of_unknown)}
        else:
            moment, key = each.reading.recorded_at, (each.device_id, each.reading.recorded_at, each.reading.content)
            row |= {"device_id": each.device_id, "device_known": 1, "readable": 1}
            row |= {name: float(measured.canonical) for name, measured in each.reading.values.items()}
            row["seconds_ahead"] = (moment - now).total_seconds()
            row["seconds_after_previous"] = (moment - latest.get(each.device_id, moment)).total_seconds()
            row["earlier_copies"] = copies.get(key, 0)
            latest[each.device_id], copies[key] = moment, copies.get(key, 0) + 1
            bad += bool(findings(each.reading, received_at=now, backfill_days=file.backfill_days))
        rows.append(row)
        places.append((file, index))
    share = 100 * bad / file.parsed.total if file.parsed.total >= FEW else 0
    for row in rows:
        row[SHARE] = share
    return rows


COLUMNS = (
    *("tenant_id", "row", "file", "device_id", "device_known", "readable", *BY_NAME),
    *("seconds_ahead", "seconds_after_previous", "earlier_copies", SHARE),
)


def _hold(parsed: Parsed, index: int, fields: set[str], file: FileToJudge, now: datetime) -> None:
    """Row rules name a field first; the suite adds only what they let through."""
    each: FileReading | None = parsed.good.get(index)
    if each is None or not fields:
        return
    known = {found.field for found in findings(each.reading, received_at=now, backfill_days=file.backfill_days)}
    added = tuple(Finding(field, "suite") for field in sorted(fields - known))
    if added:
        parsed.good[index] = replace(each, findings=added)
