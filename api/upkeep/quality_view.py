"""Data Docs as page and API show them: Great Expectations' result in plain words, with ways to what is named."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.deps import Caller
from models.kernel.settings import settings
from models.people.roles import BEDSIDE, CLINICAL

ROLES = ("supervisor", "verifier", "administrator")
SHOWN_ROWS = 50
"""Failed rows of one expectation on the page; the API has all that are kept."""
OPERATORS = ("supervisor", "administrator")
RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLACES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "assignment_id": ("assignment", "/assignments/", CLINICAL),
    "equipment_id": ("instrument", "/instruments/", ("technician", "verifier", "administrator")),
    "device_id": ("device", "/devices/", (*BEDSIDE, "administrator")),
}
"""Columns of ids that have a page: what they are called, its address, who may open it. An id of 0 is none."""

HELD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "instrument-results": ("Held results", "/held", ("technician", "verifier")),
    "vitals-files": ("Held readings", "/vitals/held", BEDSIDE),
    "dropped-studies": ("Uploads", "/radiology/uploads", ("radiology_technician",)),
}
"""Where what a suite holds waits for a person: what that is called, its address, who may go there."""


@dataclass(frozen=True, slots=True)
class Named:
    """One id of a failed row; an empty address where it has no page, or none for the caller."""

    kind: str
    number: int
    address: str


@dataclass(frozen=True, slots=True)
class Group:
    """Failed rows that have something in common, such as their instrument; `kind` is what the rows are."""

    common: tuple[Named, ...]
    kind: str
    rows: list[Named]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation and what was found. `failed` are the ids of failed rows by column, at most 1,000 of them."""

    kind: str
    description: str
    settings: dict[str, Any]
    is_met: bool
    rows: int
    failed_rows: int
    failed: list[dict[str, int]]

    @property
    def columns(self) -> list[str]:
        """The columns it is about."""
        return [self.settings[name] for name in ("column", "column_A", "column_B") if name in self.settings]

    @property
    def limits(self) -> dict[str, Any]:
        """The rest of its settings."""
        return {name: value for name, value in self.settings.items() if not name.startswith("column")}


def expectations(result: dict[str, Any]) -> list[Expectation]:
    """What was not met first; otherwise in the order of the suite."""
    found = [_expectation(one) for one in result["results"]]
    return sorted(found, key=lambda one: one.is_met)


def _expectation(found: dict[str, Any]) -> Expectation:
    config, result = found["expectation_config"], found["result"]
    given: dict[str, Any] = config["kwargs"]
    columns = result.get("unexpected_index_column_names", ())  # the database keeps no order of names
    failed = [
        dict(zip(columns, ids, strict=True))
        for group in result.get("unexpected_index_list", ())
        for ids in zip(*(group[name] for name in columns), strict=True)
    ]
    return Expectation(
        kind=config["type"],
        description=config.get("description", ""),
        settings=given,
        is_met=found["success"],
        rows=result.get("element_count", 0) - result.get("missing_count", 0),
        failed_rows=result.get("unexpected_count", 0),
        failed=failed,
    )


def groups(caller: Caller, failed: Sequence[dict[str, int]]) -> list[Group]:
    """Failed rows by the first of their ids that has a page, put together by the others that have one."""
    found: dict[tuple[Named, ...], Group] = {}
    for row in failed:
        first, *others = [_named(caller, name, row[name]) for name in PLACES if row.get(name)] or [
            _named(caller, *next(iter(row.items())))
        ]
        common = tuple(others)
        rows = found.setdefault(common, Group(common, first.kind, [])).rows
        if first not in rows:  # several rows of a file are one device's
            rows.append(first)
    return list(found.values())


def _named(caller: Caller, name: str, number: int) -> Named:
    if name not in PLACES:
        return Named(name.removesuffix("_id").replace("_", " "), number, "")
    kind, address, roles = PLACES[name]
    return Named(kind, number, f"{address}{number}" if caller.has(*roles) else "")


def held_lists(caller: Caller, suite: str | None = None) -> list[tuple[str, str]]:
    """Name and address of what waits for a person by the check of a suite, or of any; those the caller may open."""
    chosen = HELD.values() if suite is None else [HELD[suite]] if suite in HELD else []
    return [(name, address) for name, address, roles in chosen if caller.has(*roles)]


def run_address(caller: Caller, flow_run_id: str) -> str:
    """The run in Prefect's own pages, for those who operate the hub; empty for others, and where there was no run."""
    if not caller.has(*OPERATORS) or not RUN_ID.fullmatch(flow_run_id):
        return ""
    config = settings()
    api = config.prefect_api_url or f"http://127.0.0.1:{config.prefect_port}/api"
    return f"{api.rstrip('/').removesuffix('/api')}/runs/flow-run/{flow_run_id}"


def title(suite: str) -> str:
    """A suite's name as people read it: "instrument-results" is "Instrument results"."""
    return suite.replace("-", " ").replace("_", " ").capitalize()
