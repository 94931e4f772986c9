"""What results are compared with is loaded for many at once, whatever else a laboratory has."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.stores.expected import EXPECTED, load_expected
from models.kernel.tenancy import owner_session, tenant_session
from tests.instruments.helpers import Lab

pytestmark = pytest.mark.store


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_merged_records_and_what_was_sent_are_found_without_reading_the_others(lab: Lab) -> None:
    others = 3000
    ids = lab.order(count=30)
    with owner_session() as session:
        session.execute(
            text(
                "INSERT INTO patient (tenant_id, code, family_name, given_names, sex) "
                "SELECT :tenant_id, 'OTHER-' || n, 'Other', 'One', 'female' FROM generate_series(1, :others) n"
            ),
            {"tenant_id": lab.tenant_id, "others": others},
        )
    lab.order(count=others)
    with tenant_session(lab.tenant_id) as session:
        found = session.execute(
            text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {EXPECTED.text}"),
            {"tenant_id": lab.tenant_id, "ids": ids},
        ).scalar_one()
    (explained,) = found if isinstance(found, list) else json.loads(found)
    for_nothing = {
        f"{node['Node Type']} {node.get('Alias', '')}": node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
        for node in nodes(explained["Plan"])
    }
    assert {name: rows for name, rows in for_nothing.items() if rows > others} == {}


def test_the_codes_of_merged_records_are_the_patients_own(lab: Lab) -> None:
    (one,) = lab.order()
    with owner_session() as session:
        session.execute(
            text(
                "INSERT INTO patient (tenant_id, code, family_name, given_names, sex, merged_into_id) "
                "SELECT tenant_id, 'OLD-' || n, 'Ade', 'Bola', 'female', id FROM patient, generate_series(1, 2) n"
            )
        )
    with tenant_session(lab.tenant_id) as session:
        expected = load_expected(session, lab.tenant_id, [one])[one]
    assert expected.patient_codes == {"PAT-001", "OLD-1", "OLD-2"}
    assert expected.time_zone == "Africa/Lagos"
