"""Importing a catalogue: first a preview of what would change, then exactly that, or nothing."""

import hashlib
import json
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from models.instruments.catalogue_files import Format, ParsedCatalogue, Problem, parse_catalogue
from models.instruments.catalogue_inputs import PanelInput, TestInput
from models.instruments.stores.catalogue import (
    create_test,
    differences,
    inputs_of,
    list_panels,
    list_tests,
    save_panel,
    update_test,
)
from models.instruments.stores.departments import list_departments
from models.instruments.stores.equipment import list_equipment
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """What an import does with one test or panel: new, changed (then `changes` says how) or unchanged."""

    kind: str
    code: str
    place: str
    what: str
    changes: dict[str, list[object]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preview:
    """Every row of a file. `token` stands for this file and these changes: applying needs it."""

    token: str
    rows: list[PlannedRow]
    problems: list[Problem]

    def count(self, what: str) -> int:
        """How many rows are new, changed or unchanged."""
        return sum(row.what == what for row in self.rows)


@dataclass(frozen=True, slots=True)
class _Present:
    """The catalogue as it is."""

    tests: dict[str, tuple[int, TestInput]]
    panels: dict[str, PanelInput]
    departments: set[str]
    equipment: set[str]


def preview_catalogue(session: Session, tenant_id: int, content: bytes, format_: Format) -> Preview:
    """What importing the file would do; nothing is written."""
    parsed = parse_catalogue(content, format_)
    return _plan(parsed, _present(session, tenant_id))


def apply_catalogue(
    session: Session, tenant_id: int, actor: Actor, content: bytes, format_: Format, *, token: str
) -> Preview:
    """Do what the preview with this token said; again it does nothing.

    InvalidError for a file with problems (nothing is written then) or another than was previewed, ConflictError where
    the catalogue was changed since, so that something else would happen than was shown.
    """
    parsed = parse_catalogue(content, format_)
    present = _present(session, tenant_id)
    plan = _plan(parsed, present)
    if plan.problems:
        first = plan.problems[0]
        raise InvalidError(f"{len(plan.problems)} problems, the first at {first.place}: {first.field}", field="file")
    if token.partition(".")[0] != parsed.sha256:
        raise InvalidError("is not the file that was previewed", field="token")
    if plan.count("unchanged") == len(plan.rows):
        return plan
    if token != plan.token:
        raise ConflictError("the catalogue was changed since the preview: preview again", field="token")
    for row in plan.rows:
        if row.what == "unchanged":
            continue
        if row.kind == "panel":
            save_panel(session, tenant_id, actor, parsed.panels[row.code])
        elif row.what == "new":
            create_test(session, tenant_id, actor, parsed.tests[row.code])
        else:
            update_test(session, tenant_id, actor, present.tests[row.code][0], parsed.tests[row.code])
    noted = {"sha256": parsed.sha256, "new": plan.count("new"), "changed": plan.count("changed")}
    record(session, tenant_id, actor, Action("catalogue.import", "catalogue", "catalogue", noted))
    return plan


def _present(session: Session, tenant_id: int) -> _Present:
    inputs = inputs_of(session, tenant_id, list_tests(session, tenant_id))
    return _Present(
        tests={given.code: (test_id, given) for test_id, given in inputs.items()},
        panels={given.code: given for given in list_panels(session, tenant_id).values()},
        departments={row.name.lower() for row in list_departments(session, tenant_id)},
        equipment={row.name.lower() for row in list_equipment(session, tenant_id)},
    )


def _plan(parsed: ParsedCatalogue, present: _Present) -> Preview:
    problems = list(parsed.problems)
    rows = []
    for code, test in parsed.tests.items():
        place = parsed.places["tests", code]
        for name, known in (("department", present.departments), ("equipment", present.equipment)):
            value = getattr(test, name)
            if value is not None and value.lower() not in known:
                problems.append(Problem(place, name, f"no {name} has this name"))
        before = present.tests.get(code)
        rows.append(_row("test", place, before[1] if before else None, test))
    for code, panel in parsed.panels.items():
        place = parsed.places["panels", code]
        for number, test_code in enumerate(panel.tests):
            if test_code not in parsed.tests and test_code not in present.tests:
                problems.append(Problem(place, f"tests.{number}", "no test has this code"))
        rows.append(_row("panel", place, present.panels.get(code), panel))
    return Preview(f"{parsed.sha256}.{_digest(rows)}", rows, problems)


def _row(kind: str, place: str, before: TestInput | PanelInput | None, after: TestInput | PanelInput) -> PlannedRow:
    if before is None:
        return PlannedRow(kind, after.code, place, "new")
    changes = differences(before, after)
    return PlannedRow(kind, after.code, place, "changed" if changes else "unchanged", changes)


def _digest(rows: list[PlannedRow]) -> str:
    told = [[row.kind, row.code, row.what, row.changes] for row in rows]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
