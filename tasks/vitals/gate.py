"""The batch rules: the readings of a run's files as one frame, looked at once by the Great Expectations suite."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from models.upkeep.quality import Validation
from models.vitals.measures import BY_NAME
from models.vitals.rules import Finding, findings
from tasks.quality import validate_frame
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
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    places: list[tuple[FileToJudge, int]] = []
    for file in files:
        _look(file, columns, now)
        places += [(file, index) for index in range(file.parsed.total)]
    if not places:
        return Judged(frozenset(), {})
    import pandas as pd  # imported here: they take seconds

    from expectations.vitals import build_suite

    columns["row"] = list(range(len(places)))
    verdict = validate_frame(build_suite, pd.DataFrame(columns), ids=("row", "file", "device_id"))
    if verdict.whole:
        raise ValueError("the suite has an expectation about a batch, and nothing here to hold by it")
    wrong = set()
    for row, failed in verdict.failures.items():
        file, index = places[row]
        if SHARE in failed:
            wrong.add(file.number)
        _hold(file, index, {HOLDS[column] for column in failed if column in HOLDS}, now)
    return Judged(frozenset(wrong), verdict.validations)


COLUMNS = (
    *("tenant_id", "row", "file", "device_id", "device_known", "readable", *BY_NAME),
    *("seconds_ahead", "seconds_after_previous", "earlier_copies", SHARE),
)


def _look(file: FileToJudge, columns: Mapping[str, list[Any]], now: datetime) -> None:
    """What the suite looks at; what it expects of it is written down in expectations/vitals.py alone."""
    parsed, total, bad = file.parsed, file.parsed.total, len(file.parsed.faults)
    unknown = {fault.index for fault in parsed.faults if fault.field == "device_id"}
    latest: dict[int, datetime] = {}
    copies: Counter[Any] = Counter()
    readings = [parsed.good.get(index) for index in range(total)]
    columns["tenant_id"].extend([file.tenant_id] * total)
    columns["file"].extend([file.number] * total)
    columns["device_id"].extend(0 if each is None else each.device_id for each in readings)
    columns["device_known"].extend(int(index not in unknown) for index in range(total))
    columns["readable"].extend(int(each is not None or index in unknown) for index, each in enumerate(readings))
    for name in BY_NAME:
        given = (None if each is None else each.reading.values.get(name) for each in readings)
        columns[name].extend(None if measured is None else float(measured.canonical) for measured in given)
    for each in readings:
        ahead = after = before = None
        if each is not None:
            moment = each.reading.recorded_at
            key = (each.device_id, moment, each.reading.content)
            ahead, before = (moment - now).total_seconds(), copies[key]
            after = (moment - latest.get(each.device_id, moment)).total_seconds()
            latest[each.device_id] = moment
            copies[key] += 1
            bad += bool(findings(each.reading, received_at=now, backfill_days=file.backfill_days))
        columns["seconds_ahead"].append(ahead)
        columns["seconds_after_previous"].append(after)
        columns["earlier_copies"].append(before)
    columns[SHARE].extend([100 * bad / total if total >= FEW else 0] * total)


def _hold(file: FileToJudge, index: int, fields: set[str], now: datetime) -> None:
    """Row rules name a field first; the suite adds only what they let through."""
    each = file.parsed.good.get(index)
    if each is None or not fields:
        return
    known = {found.field for found in findings(each.reading, received_at=now, backfill_days=file.backfill_days)}
    added = tuple(Finding(field, "suite") for field in sorted(fields - known))
    if added:
        file.parsed.good[index] = replace(each, findings=added)
