"""Ordering tests: each becomes an assignment, with its submission where it has an instrument. All or none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from models.instruments.catalogue_tables import Panel, PanelTest, TestDefinition
from models.instruments.inputs import OrderInput
from models.instruments.stores.deliveries import Order, publish_orders
from models.instruments.stores.moves import user_of
from models.instruments.tables import Assignment, Equipment
from models.kernel.audit import Action, Actor, record_many
from models.kernel.errors import ConflictError, InvalidError, NotFoundError

RESERVE = text("SELECT nextval('assignment_id_seq') FROM generate_series(1, :count)")
# the lock makes a merge wait until the orders are there to be moved with the patient
STILL_LIVING = text("""
SELECT id FROM patient WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND merged_into_id IS NULL ORDER BY id FOR SHARE
""")


@dataclass(frozen=True, slots=True)
class _Test:
    """What an order needs to know of a test."""

    id: int
    code: str
    is_active: bool
    equipment_id: int | None
    department_id: int | None


@dataclass(frozen=True, slots=True)
class _Known:
    """Everything a batch of orders refers to, loaded at once."""

    patients: dict[int | str, int]
    tests: dict[str, _Test]
    panels: dict[str, tuple[int, list[_Test]]]
    equipment: dict[int, int | None]
    """Instruments and their departments."""


def order_many(session: Session, tenant_id: int, actor: Actor, orders: Sequence[OrderInput]) -> list[int]:
    """One assignment per test ordered, panels expanded; their ids in that order.

    InvalidError names the field of a code that is not known or not orderable, NotFoundError an id that is not there;
    with several orders the field is `orders.<number>.<name>`, counted from 0. Nothing is made then.
    """
    known = _load(session, tenant_id, orders)
    rows = [row for number, order in enumerate(orders) for row in _expand(order, known, _prefix(number, orders))]
    ids = list(session.scalars(RESERVE, {"count": len(rows)}))
    created_by = user_of(actor)
    for assignment_id, row in zip(ids, rows, strict=True):
        row |= {
            "tenant_id": tenant_id,
            "id": assignment_id,
            "request_id": request_id(assignment_id, 1),
            "created_by": created_by,
        }
    session.execute(insert(Assignment), rows)
    publish_orders(
        session,
        tenant_id,
        [
            Order(row["id"], row["equipment_id"], 1, row["request_id"], row["priority"])
            for row in rows
            if row["equipment_id"] is not None
        ],
    )
    record_many(
        session, tenant_id, actor, [Action("assignment.order", "assignment", row["id"], _noted(row)) for row in rows]
    )
    return ids


def request_id(assignment_id: int, run_number: int) -> str:
    """The id the instrument knows a run by: the same on every attempt, another for each run."""
    return f"REQ-{assignment_id}" if run_number == 1 else f"REQ-{assignment_id}-{run_number}"


def _expand(order: OrderInput, known: _Known, prefix: str) -> Iterator[dict[str, Any]]:
    """The assignments of one order; what it refers to must be known."""
    patient_id = known.patients.get(order.patient_code or order.patient_id or 0)
    if patient_id is None and order.patient_id is not None:
        message = f"no patient {order.patient_id}"
        raise NotFoundError(message, field=f"{prefix}patient_id", resource="patient", resource_id=order.patient_id)
    if patient_id is None:
        raise InvalidError("no patient has this code", field=f"{prefix}patient_code")
    if order.equipment_id is not None and order.equipment_id not in known.equipment:
        message = f"no instrument {order.equipment_id}"
        raise NotFoundError(
            message, field=f"{prefix}equipment_id", resource="equipment", resource_id=order.equipment_id
        )
    panel_id, tests = _tests_of(order, known, prefix)
    for test in tests:
        equipment_id = order.equipment_id or test.equipment_id
        yield {
            "patient_id": patient_id,
            "test_id": test.id,
            "panel_id": panel_id,
            "equipment_id": equipment_id,
            "department_id": test.department_id or (known.equipment.get(equipment_id) if equipment_id else None),
            "sample_id": order.sample_id,
            "priority": order.priority,
        }


def _tests_of(order: OrderInput, known: _Known, prefix: str) -> tuple[int | None, Sequence[_Test]]:
    if order.test_code is not None:
        test = known.tests.get(order.test_code)
        if test is None or not test.is_active:
            problem = "no test has this code" if test is None else "this test is no longer offered"
            raise InvalidError(problem, field=f"{prefix}test_code")
        return None, [test]
    panel = known.panels.get(order.panel_code or "")
    if panel is None:
        raise InvalidError("no panel on offer has this code", field=f"{prefix}panel_code")
    panel_id, tests = panel
    offered = [test for test in tests if test.is_active]
    if not offered:
        raise InvalidError("no test of this panel is offered", field=f"{prefix}panel_code")
    return panel_id, offered


def _load(session: Session, tenant_id: int, orders: Sequence[OrderInput]) -> _Known:
    tests = _tests(session, tenant_id, {order.test_code for order in orders if order.test_code})
    panels = _panels(session, tenant_id, {order.panel_code for order in orders if order.panel_code})
    named = {order.equipment_id for order in orders if order.equipment_id is not None}
    of_tests = [*tests.values(), *(test for _, members in panels.values() for test in members)]
    named |= {test.equipment_id for test in of_tests if test.equipment_id is not None}
    wanted = select(Equipment.id, Equipment.department_id)
    found = session.execute(wanted.where(Equipment.tenant_id == tenant_id, Equipment.id.in_(named)))
    return _Known(_patients(session, tenant_id, orders), tests, panels, {row.id: row.department_id for row in found})


def _patients(session: Session, tenant_id: int, orders: Sequence[OrderInput]) -> dict[int | str, int]:
    """Patients by code and by id; a merged one stands for the record that remains."""
    statement = text("""
        WITH RECURSIVE chain AS (
            SELECT id AS asked_id, code AS asked_code, id, merged_into_id FROM patient
            WHERE tenant_id = :tenant_id AND (code = ANY(:codes) OR id = ANY(:ids))
            UNION ALL
            SELECT c.asked_id, c.asked_code, p.id, p.merged_into_id
            FROM chain c JOIN patient p ON p.tenant_id = :tenant_id AND p.id = c.merged_into_id
        )
        SELECT asked_id, asked_code, id FROM chain WHERE merged_into_id IS NULL
    """)
    codes = list({order.patient_code for order in orders if order.patient_code is not None})
    ids = list({order.patient_id for order in orders if order.patient_id is not None})
    known: dict[int | str, int] = {}
    for asked_id, asked_code, patient_id in session.execute(
        statement, {"tenant_id": tenant_id, "codes": codes, "ids": ids}
    ):
        known |= {asked_id: patient_id, asked_code: patient_id}
    living = list(set(known.values()))
    if len(session.scalars(STILL_LIVING, {"tenant_id": tenant_id, "ids": living}).all()) < len(living):
        raise ConflictError("a patient was merged with another at this moment; order again")
    return known


_COLUMNS = (
    *(TestDefinition.id, TestDefinition.code, TestDefinition.is_active),
    *(TestDefinition.equipment_id, TestDefinition.department_id),
)


def _tests(session: Session, tenant_id: int, codes: set[str]) -> dict[str, _Test]:
    wanted = select(*_COLUMNS).where(TestDefinition.tenant_id == tenant_id, TestDefinition.code.in_(codes))
    return {row.code: _Test(*row) for row in session.execute(wanted)}


def _panels(session: Session, tenant_id: int, codes: set[str]) -> dict[str, tuple[int, list[_Test]]]:
    if not codes:
        return {}
    wanted = (
        select(Panel.code, Panel.id, *_COLUMNS)
        .join(PanelTest, (PanelTest.tenant_id == Panel.tenant_id) & (PanelTest.panel_id == Panel.id))
        .join(
            TestDefinition,
            (TestDefinition.tenant_id == PanelTest.tenant_id) & (TestDefinition.id == PanelTest.test_id),
        )
        .where(Panel.tenant_id == tenant_id, Panel.code.in_(codes), Panel.is_active)
        .order_by(PanelTest.position)
    )
    panels: dict[str, tuple[int, list[_Test]]] = {}
    for row in session.execute(wanted):
        panels.setdefault(row[0], (row[1], []))[1].append(_Test(*row[2:]))
    return panels


def _prefix(number: int, orders: Sequence[OrderInput]) -> str:
    return "" if len(orders) == 1 else f"orders.{number}."


def _noted(row: dict[str, Any]) -> dict[str, Any]:
    names = ("patient_id", "test_id", "panel_id", "equipment_id", "sample_id", "priority", "request_id")
    return {"status": [None, "P"]} | {name: row[name] for name in names if row[name] is not None}
