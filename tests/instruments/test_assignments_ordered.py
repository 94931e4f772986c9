"""Ordering: what is written with an order, panels, and orders that are refused as a whole."""

from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.inputs import OrderInput
from models.instruments.stores.orders import order_many
from models.kernel.audit import Actor
from models.kernel.errors import InvalidError, NotFoundError, RefusedError
from models.kernel.tables import AuditEvent, OutboxEvent
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.store


def refused_order(lab: Lab, orders: list[dict[str, Any]]) -> RefusedError:
    given = [OrderInput.model_validate(order) for order in orders]
    with pytest.raises(RefusedError) as refused, tenant_session(lab.tenant_id) as session:
        order_many(session, lab.tenant_id, lab.actor(), given)
    return refused.value


def test_an_order_is_an_assignment_an_event_a_delivery_and_an_audit_row(lab: Lab) -> None:
    (one,) = lab.order(priority="stat")
    row = lab.assignment(one)
    assert (row.status, row.request_id, row.run_number, row.priority) == ("P", f"REQ-{one}", 1, "stat")
    assert row.created_by == int(lab.actor().id)
    (delivery,) = lab.deliveries(one)
    assert (delivery.state, delivery.priority, delivery.destination) == ("due", 0, f"instrument:{lab.equipment_id}")
    with tenant_session(lab.tenant_id) as session:
        event = session.get_one(OutboxEvent, (lab.tenant_id, delivery.event_id))
    assert event.payload == {"assignment_id": one, "run_number": 1, "request_id": f"REQ-{one}"}
    assert event.type == "assignment.ordered"
    assert lab.audited(one) == ["assignment.order"]


def test_a_panel_becomes_one_assignment_per_test_in_its_order(lab: Lab) -> None:
    ids = lab.order(test_code=None, panel_code="CBC")  # type: ignore[arg-type]
    rows = [lab.assignment(one) for one in ids]
    assert len(rows) == 2
    assert {row.panel_id for row in rows} != {None}
    assert len({row.panel_id for row in rows}) == 1
    assert all(len(lab.deliveries(one)) == 1 for one in ids)


@pytest.mark.parametrize(
    ("changed", "kind", "field"),
    [
        ({"patient_code": "NOBODY"}, InvalidError, "patient_code"),
        ({"patient_code": None, "patient_id": 99_999}, NotFoundError, "patient_id"),
        ({"test_code": "LAB-XYZ"}, InvalidError, "test_code"),
        ({"test_code": None, "panel_code": "XYZ"}, InvalidError, "panel_code"),
        ({"equipment_id": 99_999}, NotFoundError, "equipment_id"),
    ],
)
def test_a_refused_order_names_the_field(
    lab: Lab, changed: dict[str, Any], kind: type[RefusedError], field: str
) -> None:
    order = {"patient_code": "PAT-001", "test_code": "LAB-HGB", "sample_id": "S-1"} | changed
    order = {name: value for name, value in order.items() if value is not None}
    error = refused_order(lab, [order])
    assert (type(error), error.field) == (kind, field)


def test_of_many_orders_one_wrong_one_refuses_all_and_is_named(lab: Lab) -> None:
    good = {"patient_code": "PAT-001", "test_code": "LAB-HGB", "sample_id": "S-1"}
    error = refused_order(lab, [good, good | {"test_code": "LAB-XYZ"}])
    assert error.field == "orders.1.test_code"
    with tenant_session(lab.tenant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM assignment")) == 0
        assert session.scalar(text("SELECT count(*) FROM outbox_event")) == 0


def test_another_tenants_patient_and_instrument_are_not_there(lab: Lab) -> None:
    other = make_lab("beta")
    order = {"patient_id": other.patient_id, "test_code": "LAB-HGB", "sample_id": "S-1"}
    error = refused_order(lab, [order])
    assert isinstance(error, NotFoundError)
    assert (error.resource, error.resource_id) == ("patient", other.patient_id)
    order = {"patient_code": "PAT-001", "test_code": "LAB-HGB", "sample_id": "S-1", "equipment_id": other.equipment_id}
    assert refused_order(lab, [order]).field == "equipment_id"


def test_a_program_may_order_and_is_named_in_the_trail(lab: Lab) -> None:
    actor = Actor("flow", "import", "import")
    with tenant_session(lab.tenant_id) as session:
        given = OrderInput(patient_code="PAT-001", test_code="LAB-HGB", sample_id="S-9")
        (one,) = order_many(session, lab.tenant_id, actor, [given])
        row = session.query(AuditEvent).filter_by(resource_type="assignment", resource_id=str(one)).one()
        assert (row.actor_kind, row.actor_id) == ("flow", "import")
    assert lab.assignment(one).created_by is None
