"""Ordering, and what a person does on the way to a result."""

import threading
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.inputs import (
    CancelInput,
    EquipmentInput,
    InstrumentChoice,
    RetestInput,
    UnknownInput,
)
from models.instruments.stores import actions, runs
from models.instruments.stores.equipment import create_equipment
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import Lab

pytestmark = pytest.mark.store
WHY = "asked by the ward"


def act(lab: Lab, do: Any, assignment_id: int, given: Any = None, *, who: str = "tina") -> None:
    with tenant_session(lab.tenant_id) as session:
        arguments = (session, lab.tenant_id, lab.actor(who), assignment_id)
        do(*arguments, given) if given is not None else do(*arguments)


def set_state(lab: Lab, assignment_id: int, status: str, delivery: str | None = None) -> None:
    """As the flow leaves it."""
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE assignment SET status = :s WHERE id = :id"), {"s": status, "id": assignment_id})
        if delivery:
            session.execute(
                text("UPDATE delivery SET state = :s, attempts = 5, sent_at = now() WHERE entity = :e"),
                {"s": delivery, "e": f"assignment:{assignment_id}"},
            )


def test_without_an_instrument_nothing_is_sent_until_one_is_chosen(lab: Lab) -> None:
    (one,) = lab.order("LAB-NOTE")
    assert not lab.deliveries(one)
    with pytest.raises(ConflictError, match="no instrument"):
        act(lab, actions.send_now, one)
    act(lab, actions.choose_instrument, one, InstrumentChoice(equipment_id=lab.equipment_id))
    assert [delivery.state for delivery in lab.deliveries(one)] == ["due"]


def test_cancelling_ends_the_submission_too(lab: Lab) -> None:
    (one,) = lab.order()
    act(lab, actions.cancel, one, CancelInput(reason=WHY))
    assert lab.assignment(one).status == "C"
    assert [delivery.state for delivery in lab.deliveries(one)] == ["skipped"]
    assert lab.audited(one) == ["assignment.order", "assignment.cancel"]
    with pytest.raises(ConflictError, match=r"cancelled.*cannot become cancelled"):
        act(lab, actions.cancel, one, CancelInput(reason=WHY))


@pytest.mark.parametrize("status", ["A", "V", "R"])
def test_what_has_a_result_cannot_be_cancelled_and_both_states_are_named(lab: Lab, status: str) -> None:
    (one,) = lab.order()
    set_state(lab, one, status)
    with pytest.raises(ConflictError, match="cannot become cancelled"):
        act(lab, actions.cancel, one, CancelInput(reason=WHY))


def test_while_a_request_is_on_its_way_nothing_decides_before_its_answer(lab: Lab) -> None:
    (one,) = lab.order()
    set_state(lab, one, "P", "leased")
    for do, given in (
        (actions.cancel, CancelInput(reason=WHY)),
        (actions.choose_instrument, None),
    ):
        with pytest.raises(ConflictError, match="being sent"):
            act(lab, do, one, given or InstrumentChoice(equipment_id=_second(lab)))
    assert lab.assignment(one).status == "P"


def _second(lab: Lab) -> int:
    with tenant_session(lab.tenant_id) as session:
        given = EquipmentInput(name=f"Second {utc_now().timestamp()}", api_endpoint="http://127.0.0.1:8")
        return create_equipment(session, lab.tenant_id, lab.actor(), given).id


def test_another_instrument_gets_the_submission_instead(lab: Lab) -> None:
    (one,) = lab.order()
    second = _second(lab)
    act(lab, actions.choose_instrument, one, InstrumentChoice(equipment_id=second))
    states = {delivery.destination: delivery.state for delivery in lab.deliveries(one)}
    assert states == {f"instrument:{lab.equipment_id}": "skipped", f"instrument:{second}": "due"}
    with pytest.raises(NotFoundError):
        act(lab, actions.choose_instrument, one, InstrumentChoice(equipment_id=99_999))


def test_a_failed_one_becomes_a_new_run_on_another_instrument(lab: Lab) -> None:
    (one,) = lab.order()
    set_state(lab, one, "F", "dead")
    second = _second(lab)
    act(lab, actions.choose_instrument, one, InstrumentChoice(equipment_id=second))
    row = lab.assignment(one)
    assert (row.status, row.run_number, row.request_id) == ("P", 2, f"REQ-{one}-2")
    assert [delivery.state for delivery in lab.deliveries(one)] == ["skipped", "due"]


def test_send_now_makes_it_due_whatever_its_back_off(lab: Lab) -> None:
    (one,) = lab.order()
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE delivery SET next_attempt_at = now() + interval '4 hours', attempts = 3"))
    act(lab, actions.send_now, one)
    (delivery,) = lab.deliveries(one)
    assert delivery.next_attempt_at <= utc_now()
    act(lab, actions.send_now, one)
    assert len(lab.deliveries(one)) == 1


def test_cannot_send_says_why(lab: Lab) -> None:
    (one,) = lab.order()
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE equipment SET status = 'maintenance', api_endpoint = NULL"))
    set_state(lab, one, "Q")
    with pytest.raises(ConflictError) as refused:
        act(lab, actions.send_now, one)
    for word in ("queued, not pending", "maintenance", "no endpoint"):
        assert word in str(refused.value)


def test_fetch_now_asks_at_once_and_only_for_what_is_at_the_instrument(lab: Lab) -> None:
    (one,) = lab.queued()
    act(lab, actions.fetch_now, one)
    assert (lab.assignment(one).next_poll_at or utc_now()) <= utc_now()
    (two,) = lab.order()
    with pytest.raises(ConflictError, match="pending, not queued"):
        act(lab, actions.fetch_now, two)


def test_an_unknown_submission_waits_for_a_person_who_may_resend(lab: Lab) -> None:
    (one,) = lab.order()
    set_state(lab, one, "U", "unknown")
    act(lab, runs.resolve_unknown, one, UnknownInput(outcome="resend", reason=WHY))
    row, (delivery,) = lab.assignment(one), lab.deliveries(one)
    assert (row.status, row.request_id, delivery.state, delivery.attempts) == ("P", f"REQ-{one}", "due", 0)


def test_an_unknown_submission_may_be_found_queued(lab: Lab) -> None:
    (one,) = lab.order()
    set_state(lab, one, "U", "unknown")
    act(lab, runs.resolve_unknown, one, UnknownInput(outcome="queued", queue_id="4711", reason=WHY))
    row, (delivery,) = lab.assignment(one), lab.deliveries(one)
    assert (row.status, row.queue_id, delivery.state) == ("Q", "4711", "done")
    assert row.queued_at is not None
    assert row.next_poll_at is not None
    (two,) = lab.order()
    set_state(lab, two, "U", "unknown")
    with pytest.raises(InvalidError, match=f"assignment {one}"):
        act(lab, runs.resolve_unknown, two, UnknownInput(outcome="queued", queue_id="4711", reason=WHY))
    act(lab, runs.resolve_unknown, two, UnknownInput(outcome="cancel", reason=WHY))
    assert [delivery.state for delivery in lab.deliveries(two)] == ["skipped"]


def test_a_retest_is_a_new_run_and_keeps_the_results_before(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one)
    before = lab.assignment(one).ordered_at
    act(lab, runs.run_again, one, RetestInput(reason="clotted sample"))
    row = lab.assignment(one)
    assert (row.status, row.run_number, row.request_id, row.queue_id) == ("P", 2, f"REQ-{one}-2", None)
    assert row.ordered_at > before
    assert [(result.version, result.is_current) for result in lab.results(one)] == [(1, False)]
    assert [delivery.state for delivery in lab.deliveries(one)] == ["done", "due"]
    assert lab.audited(one)[-1] == "assignment.retest"


def test_a_submission_given_up_before_it_arrived_keeps_its_request_id(lab: Lab) -> None:
    (one,) = lab.order()
    set_state(lab, one, "F", "dead")
    act(lab, runs.run_again, one, RetestInput(reason="the instrument is back"))
    row, (delivery,) = lab.assignment(one), lab.deliveries(one)
    assert (row.status, row.request_id, delivery.state, delivery.attempts) == ("P", f"REQ-{one}", "due", 0)


@pytest.mark.parametrize("status", ["P", "R", "C", "U"])
def test_what_cannot_be_run_again_is_refused(lab: Lab, status: str) -> None:
    (one,) = lab.order()
    set_state(lab, one, status)
    with pytest.raises(ConflictError):
        act(lab, runs.run_again, one, RetestInput(reason=WHY))


def test_a_stale_page_is_refused(lab: Lab) -> None:
    (one,) = lab.order()
    act(lab, actions.send_now, one)
    with pytest.raises(ConflictError, match="changed since"):
        act(lab, actions.cancel, one, CancelInput(reason=WHY, version=1))


def test_of_two_who_cancel_at_once_one_is_told_so(lab: Lab) -> None:
    (one,) = lab.order()
    lab.actor()
    outcomes: list[str] = []
    barrier = threading.Barrier(2)

    def cancel() -> None:
        barrier.wait()
        try:
            act(lab, actions.cancel, one, CancelInput(reason=WHY))
            outcomes.append("done")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=cancel) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]
