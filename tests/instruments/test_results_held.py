"""Held results: what a person can do with one, always with a reason, and once."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.inputs import HeldInput, MatchInput
from models.instruments.stores import held, pushes
from models.instruments.tables import HeldResult, InstrumentMessage
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import FLOW, Lab

pytestmark = pytest.mark.store
WHY = "checked at the instrument"


def hold(lab: Lab, **changed: Any) -> tuple[int, int]:
    """A held assignment and its held result."""
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, **(changed or {"unit": "g/L"})))
    return one, lab.held(one)[-1].id


def resolve(lab: Lab, held_id: int, action: str, **given: Any) -> HeldResult:
    content = HeldInput.model_validate({"action": action, "reason": WHY} | given)
    with tenant_session(lab.tenant_id) as session:
        return held.resolve_held(session, lab.tenant_id, lab.actor("sue"), held_id, content)


def test_released_as_it_is(lab: Lab) -> None:
    one, held_id = hold(lab, qualityControl="Failed", value="11.0")
    done = resolve(lab, held_id, "release")
    (result,) = lab.results(one)
    assert (lab.assignment(one).status, done.state, done.reason) == ("A", "released", WHY)
    assert (result.raw_value, result.source, result.flag, result.quality_control) == (
        "11.0",
        "instrument",
        "low",
        "Failed",
    )
    assert (result.reason, result.entered_by) == (WHY, None)


def test_a_value_in_another_unit_is_let_through_without_a_flag(lab: Lab) -> None:
    one, held_id = hold(lab, unit="g/L", value="110")
    resolve(lab, held_id, "release")
    (result,) = lab.results(one)
    assert (result.unit, result.flag) == ("g/L", None)


def test_a_value_that_does_not_parse_is_kept_as_text(lab: Lab) -> None:
    one, held_id = hold(lab, value="12,5")
    resolve(lab, held_id, "release")
    (result,) = lab.results(one)
    assert (result.raw_value, result.value, result.flag) == ("12,5", None, None)


@pytest.mark.parametrize("body", [b"{", b"\x00\xff"])
def test_what_cannot_be_read_cannot_be_released_as_it_is(lab: Lab, body: bytes) -> None:
    (one,) = lab.queued()
    lab.answer(one, body)
    held_id = lab.held(one)[0].id
    with pytest.raises(ConflictError, match="no readable value"):
        resolve(lab, held_id, "release")
    assert lab.held(one)[0].state == "open"
    assert lab.assignment(one).status == "H"


def test_corrected_by_a_person_who_then_cannot_verify_it(lab: Lab) -> None:
    one, held_id = hold(lab, value="12,5")
    resolve(lab, held_id, "correct", value="12.5", unit="g/dL")
    (result,) = lab.results(one)
    assert (result.raw_value, result.source, result.flag) == ("12.5", "manual", "normal")
    assert (result.entered_by, result.message_id) == (int(lab.actor("sue").id), lab.held(one)[0].message_id)
    with pytest.raises(InvalidError):
        resolve(lab, hold(lab)[1], "correct", value="12,5", unit="g/dL")


def test_fetched_again_and_held_again_is_the_same_row_open_again(lab: Lab) -> None:
    one, held_id = hold(lab)
    resolve(lab, held_id, "refetch")
    row = lab.assignment(one)
    assert (row.status, lab.held(one)[0].state) == ("Q", "refetched")
    assert (row.next_poll_at or utc_now()) <= utc_now()
    lab.answer(one, messages(lab)[0].body)
    assert [(found.id, found.state, found.reason) for found in lab.held(one)] == [(held_id, "open", None)]
    assert lab.assignment(one).status == "H"
    assert len(messages(lab)) == 1


def test_discarding_orders_the_test_anew(lab: Lab) -> None:
    one, held_id = hold(lab)
    resolve(lab, held_id, "discard")
    row = lab.assignment(one)
    assert (row.status, row.run_number, row.request_id) == ("P", 2, f"REQ-{one}-2")
    assert lab.held(one)[0].state == "discarded"
    assert [delivery.state for delivery in lab.deliveries(one)] == ["done", "due"]


def test_a_late_result_beside_a_finished_one_is_only_closed_when_discarded(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    lab.answer(one, lab.body(one, value="9.9"))
    (late,) = lab.held(one)
    resolve(lab, late.id, "discard")
    assert (lab.assignment(one).status, len(lab.results(one))) == ("A", 1)


def test_a_late_result_may_replace_the_one_there_is(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    lab.answer(one, lab.body(one, value="9.9"))
    resolve(lab, lab.held(one)[0].id, "release")
    assert [(row.version, row.raw_value, row.is_current) for row in lab.results(one)] == [
        (1, "13.5", False),
        (2, "9.9", True),
    ]


def test_it_is_resolved_once(lab: Lab) -> None:
    _, held_id = hold(lab)
    resolve(lab, held_id, "release")
    for action in ("release", "discard", "refetch"):
        with pytest.raises(ConflictError, match="released already"):
            resolve(lab, held_id, action)
    with pytest.raises(NotFoundError):
        resolve(lab, 99_999, "discard")


def test_a_result_of_an_earlier_run_can_only_be_discarded(lab: Lab) -> None:
    one, held_id = hold(lab)
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE instrument_message SET run_number = 7"))
    with pytest.raises(ConflictError, match="earlier run"):
        resolve(lab, held_id, "release")
    assert lab.assignment(one).status == "H"


def push(lab: Lab, body: bytes) -> pushes.Accepted:
    with tenant_session(lab.tenant_id) as session:
        return pushes.accept_pushed(session, lab.tenant_id, FLOW, lab.equipment_id, body, now=utc_now())


def messages(lab: Lab) -> list[InstrumentMessage]:
    with tenant_session(lab.tenant_id) as session:
        return list(session.query(InstrumentMessage).order_by(InstrumentMessage.id))


def test_a_pushed_result_is_kept_once_however_often_it_comes(lab: Lab) -> None:
    (one,) = lab.queued()
    body = lab.body(one)
    first, again = push(lab, body), push(lab, body)
    assert (first.is_new, again.is_new) == (True, False)
    assert (first.message_id, first.assignment_id) == (again.message_id, one)
    (message,) = messages(lab)
    assert (message.kind, message.body, message.processed_at, message.run_number) == ("push", body, None, 1)
    assert push(lab, lab.body(one, value="9.9")).is_new


def test_a_pushed_result_finds_its_assignment_by_request_before_the_number_is_known(lab: Lab) -> None:
    (one,) = lab.order()
    assert push(lab, lab.body(one, requestId=f"REQ-{one}")).assignment_id == one


def test_a_push_ahead_of_our_knowledge_is_matched_later_or_held(lab: Lab) -> None:
    (one,) = lab.order()
    body = lab.body(one, id=777)
    assert push(lab, body).assignment_id is None
    with tenant_session(lab.tenant_id) as session:
        assert pushes.match_pushed(session, lab.tenant_id, now=utc_now()) == 0
        session.execute(text("UPDATE assignment SET status = 'Q', queue_id = '777'"))
        assert pushes.match_pushed(session, lab.tenant_id, now=utc_now()) == 1
    assert messages(lab)[0].assignment_id == one
    assert push(lab, body).is_new is False
    assert push(lab, lab.body(one, id=778)).assignment_id is None
    with tenant_session(lab.tenant_id) as session:
        later = utc_now() + timedelta(minutes=16)
        assert pushes.match_pushed(session, lab.tenant_id, now=later) == 1
    (unmatched,) = lab.held(None)
    assert unmatched.violations[0]["rule"] == "unmatched"


def test_an_unmatched_result_is_matched_by_a_person_and_then_checked(lab: Lab) -> None:
    (one,) = lab.queued()
    push(lab, b"not json at all")
    with tenant_session(lab.tenant_id) as session:
        pushes.match_pushed(session, lab.tenant_id, now=utc_now())
    (unmatched,) = lab.held(None)
    with pytest.raises(ConflictError, match="no assignment"):
        resolve(lab, unmatched.id, "release")
    with tenant_session(lab.tenant_id) as session:
        given = MatchInput(assignment_id=one, reason=WHY)
        held.match_held(session, lab.tenant_id, lab.actor("sue"), unmatched.id, given)
    (message,) = messages(lab)
    assert (message.assignment_id, message.processed_at) == (one, None)


def test_the_same_bytes_fetched_and_pushed_are_one_message(lab: Lab) -> None:
    (one,) = lab.order()
    body = lab.body(one, id=777)
    push(lab, body)
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE assignment SET status = 'Q', queue_id = '777'"))
    lab.answer(one, body)
    with tenant_session(lab.tenant_id) as session:
        assert pushes.match_pushed(session, lab.tenant_id, now=utc_now()) == 1
    pushed, fetched = messages(lab)
    assert pushed.assignment_id is None
    assert pushed.processed_at is not None
    assert fetched.assignment_id == one
    assert lab.assignment(one).status == "A"


@pytest.mark.parametrize("body", [b"", b"x" * 1_000_001])
def test_a_push_has_a_size(lab: Lab, body: bytes) -> None:
    with pytest.raises(InvalidError):
        push(lab, body)


def test_only_finished_results_are_pushed(lab: Lab) -> None:
    (one,) = lab.queued()
    with pytest.raises(InvalidError) as refused:
        push(lab, lab.body(one, status="running"))
    assert refused.value.field == "status"
