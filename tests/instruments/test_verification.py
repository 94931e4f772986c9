"""Entry by hand, verification in levels, release, correction: who may do what, and what stays visible."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from models.instruments.inputs import (
    CorrectionInput,
    EntryInput,
    OrderInput,
    ReleaseInput,
    ReleaseManyInput,
    SeenAssignment,
    VerifyInput,
    VerifyManyInput,
)
from models.instruments.stores import details, entry, release, verification
from models.instruments.stores.orders import order_many
from models.instruments.stores.previous import change_between, load_previous
from models.instruments.tables import Verification
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, ForbiddenError, InvalidError
from models.kernel.tables import OutboxEvent
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient
from tests.instruments.helpers import FLOW, Lab

pytestmark = pytest.mark.store


def enter(lab: Lab, assignment_id: int, value: str = "13.5", *, who: str = "tina", **given: Any) -> None:
    content = EntryInput.model_validate({"value": value, "unit": "g/dL"} | given)
    with tenant_session(lab.tenant_id) as session:
        entry.enter_result(session, lab.tenant_id, lab.actor(who), assignment_id, content)


def verify(lab: Lab, assignment_id: int, who: str, *, version: int | None = None) -> str:
    seen = VerifyInput(version=version or lab.assignment(assignment_id).version)
    with tenant_session(lab.tenant_id) as session:
        return verification.verify(session, lab.tenant_id, lab.actor(who), assignment_id, seen).status


def let_go(lab: Lab, assignment_id: int, who: str = "vera") -> None:
    seen = ReleaseInput(version=lab.assignment(assignment_id).version)
    with tenant_session(lab.tenant_id) as session:
        release.release(session, lab.tenant_id, lab.actor(who), assignment_id, seen)


def correct(lab: Lab, assignment_id: int, value: str, *, who: str = "sue") -> None:
    version = lab.assignment(assignment_id).version
    given = CorrectionInput(value=value, unit="g/dL", reason="typing error", version=version)
    with tenant_session(lab.tenant_id) as session:
        entry.correct_result(session, lab.tenant_id, lab.actor(who), assignment_id, given)


def shown_to_doctors(lab: Lab, assignment_id: int) -> list[tuple[str, bool, bool]]:
    with tenant_session(lab.tenant_id) as session:
        rows = details.load_released(session, lab.tenant_id, assignment_id=assignment_id)
        return [(row.raw_value, row.is_corrected, row.is_being_corrected) for row in rows]


def test_a_value_entered_by_hand_is_analysed_flagged_and_ends_the_submission(lab: Lab) -> None:
    (one,) = lab.order()
    enter(lab, one, "20.1", remarks="haemolysed")
    row, (result,) = lab.assignment(one), lab.results(one)
    assert (row.status, result.source, result.flag) == ("A", "manual", "critical_high")
    assert result.entered_by == int(lab.actor().id)
    assert result.remarks == "haemolysed"
    assert [delivery.state for delivery in lab.deliveries(one)] == ["skipped"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"value": "12,5"}, "value"),
        ({"value": "high"}, "value"),
        ({"value": "0.9"}, "value"),
        ({"value": "30.1"}, "value"),
        ({"unit": "g/L"}, "unit"),
        ({"unit": ""}, "unit"),
        ({"completed_at": "2099-01-01T00:00:00Z"}, "completed_at"),
    ],
)
def test_an_entry_is_checked_against_type_unit_and_plausible_limits(
    lab: Lab, given: dict[str, Any], field: str
) -> None:
    (one,) = lab.order()
    with pytest.raises(InvalidError) as refused:
        enter(lab, one, **({"value": "13.5"} | given))
    assert refused.value.field == field
    assert lab.assignment(one).status == "P"
    assert [delivery.state for delivery in lab.deliveries(one)] == ["due"]


def test_a_text_result_is_entered_as_words(lab: Lab) -> None:
    (one,) = lab.order("LAB-NOTE")
    enter(lab, one, "no parasites seen", unit="")
    (result,) = lab.results(one)
    assert (result.raw_value, result.value, result.flag) == ("no parasites seen", None, None)


def test_only_a_person_enters_and_verifies(lab: Lab) -> None:
    (one,) = lab.order()
    with pytest.raises(ForbiddenError), tenant_session(lab.tenant_id) as session:
        entry.enter_result(session, lab.tenant_id, FLOW, one, EntryInput(value="1", unit="g/dL"))


def test_what_has_a_result_is_corrected_not_entered_again(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    with pytest.raises(ConflictError, match="analysis complete"):
        enter(lab, one)


def test_each_level_is_another_person_and_never_who_entered_it(lab: Lab) -> None:
    (one,) = lab.order()
    enter(lab, one, who="tina")
    with pytest.raises(ForbiddenError, match="entered"):
        verify(lab, one, "tina")
    assert verify(lab, one, "vera") == "A"
    with pytest.raises(ForbiddenError, match="another person"):
        verify(lab, one, "vera")
    assert verify(lab, one, "victor") == "V"
    row = lab.assignment(one)
    assert row.verified_at is not None
    with tenant_session(lab.tenant_id) as session:
        levels = session.execute(select(Verification.level, Verification.user_id).order_by(Verification.level)).all()
    assert [tuple(level) for level in levels] == [(1, int(lab.actor("vera").id)), (2, int(lab.actor("victor").id))]


def test_a_stale_page_is_refused(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    seen = lab.assignment(one).version
    verify(lab, one, "vera", version=seen)
    with pytest.raises(ConflictError, match="changed since"):
        verify(lab, one, "victor", version=seen)


@pytest.mark.parametrize("levels", ["LAB-HGB", "LAB-WBC"])
def test_of_two_verifiers_at_once_on_one_row_one_is_refused(lab: Lab, levels: str) -> None:
    (one,) = lab.queued(levels)
    lab.answer(one)
    seen = lab.assignment(one).version
    people = ["vera", "victor"]
    for name in people:
        lab.actor(name)
    outcomes: list[str] = []
    barrier = threading.Barrier(len(people))

    def work(name: str) -> None:
        barrier.wait()
        try:
            verify(lab, one, name, version=seen)
            outcomes.append("done")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=work, args=(name,)) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]
    with tenant_session(lab.tenant_id) as session:
        assert len(session.scalars(select(Verification)).all()) == 1


def test_many_at_once_have_an_outcome_each(lab: Lab) -> None:
    good, stale, pending = lab.queued("LAB-WBC")[0], lab.queued("LAB-WBC")[0], lab.order("LAB-WBC")[0]
    mine = lab.order("LAB-WBC")[0]
    for one in (good, stale):
        lab.answer(one)
    enter(lab, mine, "5", who="vera", unit="10*3/uL")
    seen = [SeenAssignment(assignment_id=one, version=lab.assignment(one).version) for one in (mine, good, pending)]
    seen.insert(1, SeenAssignment(assignment_id=stale, version=1))
    seen.append(SeenAssignment(assignment_id=99_999, version=1))
    with tenant_session(lab.tenant_id) as session:
        given = VerifyManyInput(assignments=seen)
        outcomes = verification.verify_many(session, lab.tenant_id, lab.actor("vera"), given)
    assert [(row.assignment_id, row.kind) for row in outcomes] == [
        (mine, "forbidden"),
        (stale, "conflict"),
        (good, None),
        (pending, "conflict"),
        (99_999, "not_found"),
    ]
    assert [lab.assignment(one).status for one in (mine, stale, good, pending)] == ["A", "A", "V", "P"]


def test_release_tells_the_patient_who_wants_it_by_mail_in_the_same_transaction(lab: Lab) -> None:
    (one,) = lab.queued("LAB-WBC")
    lab.answer(one)
    verify(lab, one, "vera")
    let_go(lab, one)
    row, (result,) = lab.assignment(one), lab.results(one)
    assert (row.status, result.released_at, result.released_by) == ("R", row.released_at, int(lab.actor("vera").id))
    (delivery,) = lab.deliveries(one, "mail")
    with tenant_session(lab.tenant_id) as session:
        event = session.get_one(OutboxEvent, (lab.tenant_id, delivery.event_id))
    assert event.type == "assignment.released"
    assert (event.payload["template"], event.payload["to"]) == ("report_ready", ["bola@patients.example"])
    assert "13.5" not in str(event.payload)


def test_without_the_patients_wish_there_is_no_mail(lab: Lab) -> None:
    with tenant_session(lab.tenant_id) as session:
        session.get_one(Patient, (lab.tenant_id, lab.patient_id)).is_report_mailed = False
    (one,) = lab.queued("LAB-WBC")
    lab.answer(one)
    verify(lab, one, "vera")
    let_go(lab, one)
    assert not lab.deliveries(one, "mail")


def test_what_is_not_verified_is_not_released_and_both_states_are_named(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    with pytest.raises(ConflictError, match=r"analysis complete .* released"):
        let_go(lab, one)
    seen = [SeenAssignment(assignment_id=one, version=lab.assignment(one).version)]
    with tenant_session(lab.tenant_id) as session:
        given = ReleaseManyInput(assignments=seen)
        (outcome,) = release.release_many(session, lab.tenant_id, lab.actor("vera"), given)
    assert outcome.kind == "conflict"


def test_a_correction_after_release_is_a_new_version_and_the_released_one_stays_until_it_is_released(lab: Lab) -> None:
    (one,) = lab.queued("LAB-HGB")
    lab.answer(one, lab.body(one, value="13.5"))
    for name in ("vera", "victor"):
        verify(lab, one, name)
    let_go(lab, one)
    correct(lab, one, "11.5")
    assert lab.assignment(one).status == "A"
    assert shown_to_doctors(lab, one) == [("13.5", False, True)]
    with pytest.raises(ForbiddenError, match="entered"):
        verify(lab, one, "sue")
    for name in ("vera", "victor"):  # the new version is verified anew, by the same people if need be
        verify(lab, one, name)
    assert shown_to_doctors(lab, one) == [("13.5", False, True)]
    let_go(lab, one)
    assert shown_to_doctors(lab, one) == [("11.5", True, False)]
    first, second = lab.results(one)
    assert (first.raw_value, first.is_current, first.entered_by) == ("13.5", False, None)
    assert (second.raw_value, second.is_current, second.reason, second.flag) == ("11.5", True, "typing error", "low")
    assert len(lab.deliveries(one, "mail")) == 2


def test_a_correction_needs_a_result_and_the_version_seen(lab: Lab) -> None:
    (one,) = lab.order()
    with pytest.raises(ConflictError, match="pending"):
        correct(lab, one, "12.0")
    (two,) = lab.queued()
    lab.answer(two)
    given = CorrectionInput(value="12.0", unit="g/dL", reason="typing error", version=1)
    with pytest.raises(ConflictError, match="changed since"), tenant_session(lab.tenant_id) as session:
        entry.correct_result(session, lab.tenant_id, lab.actor("sue"), two, given)


def test_the_previous_value_and_the_change_stand_beside_the_new_one(lab: Lab) -> None:
    (old,) = lab.queued("LAB-WBC")
    lab.answer(old, lab.body(old, value="8.0"))
    verify(lab, old, "vera")
    with tenant_session(lab.tenant_id) as session:  # another patient's value is not this one's past
        session.add(Patient(tenant_id=lab.tenant_id, code="PAT-002", family_name="Obi", given_names="Chi"))
        session.flush()
        given = OrderInput(patient_code="PAT-002", test_code="LAB-WBC", sample_id="S-2")
        (other,) = order_many(session, lab.tenant_id, lab.actor(), [given])
    enter(lab, other, "50", unit="10*3/uL")
    verify(lab, other, "vera")
    (unverified,) = lab.queued("LAB-WBC")
    lab.answer(unverified, lab.body(unverified, value="99"))
    (new,) = lab.queued("LAB-WBC")
    lab.answer(new, lab.body(new, value="10.0", completedAt=utc_now().isoformat()))
    with tenant_session(lab.tenant_id) as session:
        found = load_previous(session, lab.tenant_id, [new, old])
    assert set(found) == {new}
    before = found[new]
    assert (before.assignment_id, before.raw_value) == (old, "8.0")
    assert (before.delta, before.delta_percent) == (Decimal("2.0"), Decimal("25.0"))


def test_the_change_of_nothing_is_no_share() -> None:
    assert change_between(Decimal(0), Decimal(3)) == (Decimal(3), None)
    assert change_between(None, Decimal(3)) == (None, None)
    assert change_between(Decimal(-4), Decimal(-2)) == (Decimal(2), Decimal("50.0"))
