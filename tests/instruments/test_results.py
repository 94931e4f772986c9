"""Results that come back: completed, failed or held, in bulk, with everything written in one transaction."""

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.kernel.clock import utc_now
from tests.instruments.helpers import Lab

pytestmark = pytest.mark.store


def test_a_fitting_result_completes_the_assignment_with_its_flag(lab: Lab) -> None:
    (one,) = lab.queued()
    outcome = lab.answer(one, lab.body(one, value="11.9"))
    assert (outcome.what, outcome.status) == ("completed", "A")
    row, (result,) = lab.assignment(one), lab.results(one)
    assert row.analyzed_at is not None
    assert row.next_poll_at is None
    assert (result.raw_value, result.value, result.unit, result.flag) == ("11.9", Decimal("11.9"), "g/dL", "low")
    assert (result.range_low, result.panic_low) == (Decimal("12.0"), Decimal(6))
    assert (result.source, result.version, result.is_current) == ("instrument", 1, True)
    assert lab.audited(one)[-1] == "assignment.complete"


def test_the_documented_example_passes(lab: Lab) -> None:
    (one,) = lab.queued("LAB-CBC")
    assert lab.answer(one, lab.body(one, value="12.5")).what == "completed"
    (result,) = lab.results(one)
    assert (result.value, result.unit, result.flag) == (Decimal("12.5"), "g/dL", None)


SPOILED: list[tuple[str, dict[str, Any], str]] = [
    ("patient", {"patientId": "PAT-002"}, "patientId"),
    ("patient", {"patientId": None}, "patientId"),
    ("test", {"testName": "Platelets"}, "testName"),
    ("test", {"testCode": "LAB-PLT"}, "testCode"),
    ("test", {"testName": None}, "testName"),
    ("unit", {"unit": "g/L"}, "unit"),
    ("unit", {"unit": None}, "unit"),
    ("unit", {"unit": "G/DL"}, "unit"),
    ("sample", {"sampleId": "SAMP-124"}, "sampleId"),
    ("id", {"id": 999}, "id"),
    ("request", {"requestId": "REQ-0"}, "requestId"),
    ("quality_control", {"qualityControl": "Failed"}, "qualityControl"),
    ("quality_control", {"qualityControl": None}, "qualityControl"),
    ("value", {"value": "12,5"}, "value"),
    ("value", {"value": "#####"}, "value"),
    ("value", {"value": None}, "value"),
    ("plausible", {"value": "0.5"}, "value"),
    ("plausible", {"value": "135"}, "value"),
    ("time", {"completedAt": None}, "completedAt"),
    ("time", {"completedAt": "2025-11-12T10:30:00"}, "completedAt"),
    ("time", {"completedAt": "2099-11-12T10:30:00Z"}, "completedAt"),
    ("time", {"completedAt": "2025-11-12T10:30:00Z"}, "completedAt"),
    ("unreadable", {"completedAt": "yesterday"}, "completedAt"),
    ("unreadable", {"status": "paused"}, "status"),
    ("unreadable", {"value": [1]}, "value"),
    ("unreadable", {"remarks": "a\x00b"}, "remarks"),
]


@pytest.mark.parametrize(("rule", "changed", "field"), SPOILED, ids=lambda value: str(value)[:40])
def test_a_result_that_does_not_fit_is_held_and_says_which_rule(
    lab: Lab, rule: str, changed: dict[str, Any], field: str
) -> None:
    (one,) = lab.queued()
    outcome = lab.answer(one, lab.body(one, **changed))
    assert (outcome.what, lab.assignment(one).status) == ("held", "H")
    assert not lab.results(one)
    (held,) = lab.held(one)
    assert [(found["rule"], found["field"]) for found in held.violations] == [(rule, field)]
    for value in changed.values():
        assert value is None or str(value) not in held.violations[0]["message"]


def test_an_unreadable_answer_is_held_with_its_bytes(lab: Lab) -> None:
    (one,) = lab.queued()
    assert lab.answer(one, b'{"id": 10').what == "held"
    assert lab.held(one)[0].violations[0]["rule"] == "unreadable"


def test_every_broken_rule_is_named(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, patientId="X", unit="mmol/L", qualityControl="Failed"))
    assert {found["rule"] for found in lab.held(one)[0].violations} == {"patient", "unit", "quality_control"}


def test_a_failed_run_fails_the_assignment_with_its_remarks(lab: Lab) -> None:
    (one,) = lab.queued()
    body = lab.body(one, status="failed", value=None, remarks="Aspiration error", qualityControl=None)
    assert lab.answer(one, body).what == "failed"
    row = lab.assignment(one)
    assert (row.status, row.remarks) == ("F", "Aspiration error")


def test_a_few_minutes_between_the_clocks_are_allowed(lab: Lab) -> None:
    (one,) = lab.queued()
    early = (lab.assignment(one).ordered_at - timedelta(seconds=90)).isoformat()
    assert lab.answer(one, lab.body(one, completedAt=early)).what == "completed"
    (two,) = lab.queued()
    late = (utc_now() + timedelta(seconds=90)).isoformat()
    assert lab.answer(two, lab.body(two, completedAt=late)).what == "completed"


def test_a_result_of_an_earlier_run_is_ignored(lab: Lab) -> None:
    (one,) = lab.queued()
    assert lab.answer(one, run_number=7).what == "ignored"
    assert lab.assignment(one).status == "Q"


def test_the_same_statement_again_is_ignored_and_another_is_held_beside_it(lab: Lab) -> None:
    (one,) = lab.queued()
    moment = utc_now().isoformat()
    lab.answer(one, lab.body(one, completedAt=moment))
    again = lab.answer(one, lab.body(one, completedAt=moment, remarks="same"))
    assert again.what == "ignored"
    other = lab.answer(one, lab.body(one, completedAt=moment, value="9.9"))
    assert (other.what, other.status) == ("held", "A")
    assert [found["rule"] for found in lab.held(one)[0].violations] == ["state"]
    assert [result.raw_value for result in lab.results(one)] == ["13.5"]


def test_a_result_of_a_merged_patients_code_is_let_through(lab: Lab) -> None:
    from models.kernel.tenancy import tenant_session
    from models.people.tables import Patient

    with tenant_session(lab.tenant_id) as session:
        session.add(
            Patient(
                tenant_id=lab.tenant_id, code="OLD-1", family_name="A", given_names="B", merged_into_id=lab.patient_id
            )
        )
    (one,) = lab.queued()
    assert lab.answer(one, lab.body(one, patientId="OLD-1")).what == "completed"


@pytest.mark.slow
def test_a_thousand_results_take_few_statements_and_little_time(lab: Lab) -> None:
    start = time.perf_counter()
    ids = lab.order(count=1000)
    ordered = time.perf_counter() - start
    lab_ids = lab.queued(count=1000)
    bodies = {one: lab.body(one) for one in lab_ids[:1]}
    template = bodies[lab_ids[0]].decode()
    bodies = {one: template.replace(str(1000 + lab_ids[0]), str(1000 + one)).encode() for one in lab_ids}
    start = time.perf_counter()
    outcomes = lab.answer_many(bodies)
    print(f"\n1,000 ordered in {ordered:.2f} s, completed in {time.perf_counter() - start:.2f} s")
    assert {outcome.what for outcome in outcomes} == {"completed"}
    assert len(ids) == 1000
