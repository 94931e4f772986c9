"""The test catalogue: tests with their ranges, and panels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from models.instruments.catalogue_inputs import PanelChange, PanelInput, RangeInput, TestChange, TestInput
from models.instruments.catalogue_tables import Panel, PanelTest, ReferenceRange, TestDefinition
from models.instruments.stores.meanwhile import refuse_stale
from models.instruments.tables import Department, Equipment
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, InvalidError, NotFoundError

COPIED = (
    *("loinc", "name", "specimen_type", "result_type", "unit", "plausible_low", "plausible_high"),
    *("panic_low", "panic_high", "verification_levels", "is_active", "source"),
)


def list_tests(session: Session, tenant_id: int, *, is_active: bool | None = None) -> Sequence[TestDefinition]:
    """The tests, by code."""
    wanted = select(TestDefinition).where(TestDefinition.tenant_id == tenant_id)
    if is_active is not None:
        wanted = wanted.where(TestDefinition.is_active.is_(is_active))
    return session.scalars(wanted.order_by(TestDefinition.code)).all()


def get_test(session: Session, tenant_id: int, test_id: int) -> TestDefinition:
    """The test, or NotFoundError."""
    found = session.get(TestDefinition, (tenant_id, test_id))
    if found is None:
        raise NotFoundError(f"no test {test_id}", resource="test_definition", resource_id=test_id)
    return found


def inputs_of(session: Session, tenant_id: int, tests: Iterable[TestDefinition]) -> dict[int, TestChange]:
    """Tests as they would be given: with ranges and version, and department and instrument by name."""
    rows = list(tests)
    wanted = select(ReferenceRange).where(
        ReferenceRange.tenant_id == tenant_id, ReferenceRange.test_id.in_([row.id for row in rows])
    )
    ranges: dict[int, list[RangeInput]] = defaultdict(list)
    for one in session.scalars(wanted.order_by(ReferenceRange.id)):
        names = ("sex", "age_from_days", "age_to_days", "low", "high", "panic_low", "panic_high")
        ranges[one.test_id].append(RangeInput.model_construct(**{name: getattr(one, name) for name in names}))
    departments = _names(session, tenant_id, Department)
    equipment = _names(session, tenant_id, Equipment)
    return {
        row.id: TestChange.model_construct(
            code=row.code,
            version=row.version,
            department=departments.get(row.department_id or 0),
            equipment=equipment.get(row.equipment_id or 0),
            ranges=ranges[row.id],
            **{name: getattr(row, name) for name in COPIED},
        )
        for row in rows
    }


def create_test(session: Session, tenant_id: int, actor: Actor, given: TestInput) -> TestDefinition:
    """A new test with its ranges; ConflictError where the code is taken."""
    taken = select(TestDefinition.id).where(TestDefinition.tenant_id == tenant_id, TestDefinition.code == given.code)
    if session.scalar(taken) is not None:
        raise ConflictError("a test has this code already", field="code")
    made = TestDefinition(tenant_id=tenant_id, code=given.code, **_columns(session, tenant_id, given))
    session.add(made)
    session.flush()
    _write_ranges(session, made, given.ranges)
    noted = given.model_dump(mode="json", exclude_none=True)
    record(session, tenant_id, actor, Action("test.create", "test_definition", made.id, noted))
    return made


def update_test(session: Session, tenant_id: int, actor: Actor, test_id: int, given: TestInput) -> TestDefinition:
    """The test as given, ranges included; its code stays. Results keep the unit, flag and limits they had.

    ConflictError for a TestChange read from another version than the present one; the same content again is no change.
    """
    wanted = select(TestDefinition).where(TestDefinition.tenant_id == tenant_id, TestDefinition.id == test_id)
    row = session.scalar(wanted.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"no test {test_id}", resource="test_definition", resource_id=test_id)
    if row.code != given.code:
        raise InvalidError("the code of a test cannot be changed; make a new test", field="code")
    before = inputs_of(session, tenant_id, [row])[row.id]
    changes = differences(before, given)
    if not changes:
        return row
    if isinstance(given, TestChange):
        refuse_stale(seen=given.version, present=row.version, what=f"test {test_id}")
    for name, value in _columns(session, tenant_id, given).items():
        setattr(row, name, value)
    if "ranges" in changes:
        _write_ranges(session, row, given.ranges)
    row.version += 1
    session.flush()
    changes["version"] = [row.version - 1, row.version]
    record(session, tenant_id, actor, Action("test.update", "test_definition", row.id, changes))
    return row


def differences(before: TestInput | PanelInput, after: TestInput | PanelInput) -> dict[str, Any]:
    """The fields that differ, each as [before, after] in plain JSON."""
    fields = [name for name in type(after).model_fields if name != "version"]
    names = [name for name in fields if getattr(before, name) != getattr(after, name)]
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    return {name: [old[name], new[name]] for name in names}


def list_panels(session: Session, tenant_id: int) -> dict[int, PanelChange]:
    """The panels as they would be given, with their version, by id, in order of their codes."""
    codes: dict[int, list[str]] = defaultdict(list)
    members = (
        select(PanelTest.panel_id, TestDefinition.code)
        .join(
            TestDefinition,
            (TestDefinition.tenant_id == PanelTest.tenant_id) & (TestDefinition.id == PanelTest.test_id),
        )
        .where(PanelTest.tenant_id == tenant_id)
        .order_by(PanelTest.position)
    )
    for panel_id, code in session.execute(members):
        codes[panel_id].append(code)
    panels = session.scalars(select(Panel).where(Panel.tenant_id == tenant_id).order_by(Panel.code))
    return {
        row.id: PanelChange.model_construct(
            code=row.code, name=row.name, tests=codes[row.id], is_active=row.is_active, version=row.version
        )
        for row in panels
    }


def save_panel(session: Session, tenant_id: int, actor: Actor, given: PanelInput, *, is_new: bool | None = None) -> int:
    """The panel with this code as given; its id. `is_new` says whether it may exist: ConflictError, NotFoundError.

    ConflictError, too, for a PanelChange read from another version than the present one.
    """
    row = session.scalar(select(Panel).where(Panel.tenant_id == tenant_id, Panel.code == given.code).with_for_update())
    if is_new and row is not None:
        raise ConflictError("a panel has this code already", field="code")
    if is_new is False and row is None:
        raise NotFoundError("no panel has this code", field="code")
    tests = _ids_of(session, tenant_id, given.tests)
    if row is None:
        row, action = Panel(tenant_id=tenant_id, code=given.code, name=given.name), "panel.create"
        session.add(row)
        noted = given.model_dump(mode="json", exclude={"version"})
    else:
        action, noted = "panel.update", differences(list_panels(session, tenant_id)[row.id], given)
        if not noted:
            return row.id
        if isinstance(given, PanelChange):
            refuse_stale(seen=given.version, present=row.version, what=f"panel {row.id}")
        session.execute(delete(PanelTest).where(PanelTest.tenant_id == tenant_id, PanelTest.panel_id == row.id))
        row.version += 1
        noted["version"] = [row.version - 1, row.version]
    row.name, row.is_active = given.name, given.is_active
    session.flush()
    members = [
        {"tenant_id": tenant_id, "panel_id": row.id, "test_id": test_id, "position": position}
        for position, test_id in enumerate(tests)
    ]
    session.execute(insert(PanelTest), members)
    record(session, tenant_id, actor, Action(action, "panel", row.id, noted))
    return row.id


def _ids_of(session: Session, tenant_id: int, codes: Sequence[str]) -> list[int]:
    """The tests with these codes, in this order; InvalidError names the first that is not there."""
    wanted = select(TestDefinition.code, TestDefinition.id).where(
        TestDefinition.tenant_id == tenant_id, TestDefinition.code.in_(codes)
    )
    known = {row.code: row.id for row in session.execute(wanted)}
    for number, code in enumerate(codes):
        if code not in known:
            raise InvalidError("no test has this code", field=f"tests.{number}")
    return [known[code] for code in codes]


def _names(session: Session, tenant_id: int, table: type[Department] | type[Equipment]) -> dict[int, str]:
    found = session.execute(select(table.id, table.name).where(table.tenant_id == tenant_id))
    return {row.id: row.name for row in found}


def _columns(session: Session, tenant_id: int, given: TestInput) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(given, name) for name in COPIED}
    values["department_id"] = _named(session, tenant_id, Department, given.department, "department")
    values["equipment_id"] = _named(session, tenant_id, Equipment, given.equipment, "equipment")
    return values


def _named(
    session: Session, tenant_id: int, table: type[Department] | type[Equipment], name: str | None, field: str
) -> int | None:
    if name is None:
        return None
    found = session.scalar(
        select(table.id).where(table.tenant_id == tenant_id, func.lower(table.name) == name.lower()).limit(1)
    )
    if found is None:
        raise InvalidError(f"no {field} has this name", field=field)
    return found


def _write_ranges(session: Session, row: TestDefinition, ranges: Sequence[RangeInput]) -> None:
    of_test = (ReferenceRange.tenant_id == row.tenant_id, ReferenceRange.test_id == row.id)
    session.execute(delete(ReferenceRange).where(*of_test))
    if ranges:
        rows = [{"tenant_id": row.tenant_id, "test_id": row.id, **one.model_dump()} for one in ranges]
        session.execute(insert(ReferenceRange), rows)
