"""The change since a patient's earlier result: told where both are numbers in the same unit, and never a crash."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from models.instruments.stores.previous import change_between, load_previous
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import Lab

D = Decimal


@pytest.mark.unit
@pytest.mark.parametrize(
    ("old", "new", "delta", "percent"),
    [
        ("12.5", "11", "-1.5", "-12.0"),
        ("-2", "-1", "1", "50.0"),
        ("0", "5", "5", None),
        ("-0", "5", "5", None),
        ("3", "3", "0", "0.0"),
        ("1", "1E+99", "1E+99", None),
        ("1E-99", "1", "1", None),
        (None, "1", None, None),
        ("1", None, None, None),
    ],
)
def test_a_change_and_its_share(old: str | None, new: str | None, delta: str | None, percent: str | None) -> None:
    found = change_between(D(old) if old else None, D(new) if new else None)
    assert found == (D(delta) if delta else None, D(percent) if percent else None)


@pytest.mark.store
@pytest.mark.parametrize(("unit", "delta"), [("g/dl", D("1.5")), ("g/L", None)])
def test_the_unit_may_be_spelt_otherwise_but_not_be_another(lab: Lab, unit: str, delta: Decimal | None) -> None:
    before, now = lab.queued()[0], lab.queued()[0]
    lab.answer(before, lab.body(before, value="12.0"))
    lab.answer(now, lab.body(now, value="13.5"))
    with tenant_session(lab.tenant_id) as session:
        changes = {"unit": unit, "one": before}
        session.execute(text("UPDATE result SET unit = :unit WHERE assignment_id = :one"), changes)
        session.execute(text("UPDATE assignment SET status = 'V' WHERE id = :one"), changes)
        assert load_previous(session, lab.tenant_id, [now])[now].delta == delta
