"""The work list: filters, counts by state, what comes first, and what grows old."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.inputs import AcknowledgeInput, CommentInput, WorklistFilter
from models.instruments.rules import Status
from models.instruments.stores import comments, worklist
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.tenancy import tenant_session
from tests.instruments.helpers import Lab

pytestmark = pytest.mark.store


def listed(lab: Lab, **wanted: Any) -> list[int]:
    with tenant_session(lab.tenant_id) as session:
        return [row.id for row in worklist.load_worklist(session, lab.tenant_id, WorklistFilter(**wanted))]


def counted(lab: Lab, **wanted: Any) -> dict[str, int]:
    with tenant_session(lab.tenant_id) as session:
        return worklist.count_by_state(session, lab.tenant_id, WorklistFilter(**wanted))


def change(lab: Lab, statement: str, **values: Any) -> None:
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(statement), values)


def test_work_comes_before_what_is_done_and_stat_before_all(lab: Lab) -> None:
    (routine,), (urgent,), (stat,), (newer,), (done,) = (
        lab.order(priority=priority) for priority in ("routine", "urgent", "stat", "routine", "stat")
    )
    change(lab, "UPDATE assignment SET status = 'R' WHERE id = :id", id=done)
    assert listed(lab) == [stat, urgent, newer, routine, done]


def test_each_filter_narrows_and_they_combine(lab: Lab) -> None:
    (one,) = lab.order(sample_id="ACC-77", priority="stat")
    (two,) = lab.order("LAB-NOTE", sample_id="acc-99")
    change(lab, "UPDATE assignment SET status = 'F' WHERE id = :id", id=two)
    for wanted, found in (
        ({}, [one, two]),
        ({"status": ["F"]}, [two]),
        ({"status": ["P", "F"]}, [one, two]),
        ({"priority": "stat"}, [one]),
        ({"equipment_id": lab.equipment_id}, [one]),
        ({"equipment_id": 99}, []),
        ({"department_id": 99}, []),
        ({"patient_id": lab.patient_id}, [one, two]),
        ({"test_code": "LAB-NOTE"}, [two]),
        ({"sample_id": "ACC-77"}, [one]),
        ({"search": "acc"}, [one, two]),
        ({"search": "acc-9"}, [two]),
        ({"search": f"req-{one}"}, [one]),
        ({"search": "PAT"}, [one, two]),
        ({"search": "100%"}, []),
        ({"search": "_"}, []),
        ({"status": ["P"], "test_code": "LAB-NOTE"}, []),
    ):
        assert sorted(listed(lab, **wanted)) == found, wanted


def test_counts_name_every_state_under_the_other_filters(lab: Lab) -> None:
    one, two = lab.order(count=2)
    (three,) = lab.order("LAB-NOTE")
    change(lab, "UPDATE assignment SET status = 'H' WHERE id = :id", id=two)
    assert counted(lab) == dict.fromkeys(map(str, Status), 0) | {"P": 2, "H": 1}
    assert counted(lab, status=["H"]) == counted(lab)
    assert counted(lab, test_code="LAB-NOTE")["P"] == 1
    assert one < three


def test_an_unknown_state_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidError) as refused:
        listed(lab, status=["X"])
    assert refused.value.field == "status"


def test_what_is_open_for_a_day_is_stale_until_done_and_noted_once(lab: Lab) -> None:
    old, new, done = lab.order(count=3)
    change(lab, "UPDATE assignment SET ordered_at = now() - interval '25 hours' WHERE id <> :id", id=new)
    change(lab, "UPDATE assignment SET status = 'A' WHERE id = :id", id=done)
    assert listed(lab, is_stale=True) == [old]
    assert sorted(listed(lab, is_stale=False)) == [new, done]
    with tenant_session(lab.tenant_id) as session:
        given = AcknowledgeInput(assignment_ids=[old, old])
        assert comments.acknowledge_stale(session, lab.tenant_id, lab.actor(), given) == [old]
        assert comments.acknowledge_stale(session, lab.tenant_id, lab.actor(), given) == []
    assert lab.audited(old).count("assignment.acknowledge") == 1


def test_what_nobody_fetches_by_itself_warns_before_the_instrument_forgets_it(lab: Lab) -> None:
    fresh, waiting = lab.queued(count=2)
    change(lab, "UPDATE assignment SET queued_at = now() - interval '20 hours 1 minute' WHERE id = :id", id=waiting)
    assert listed(lab, is_expiring=True) == []  # fetched by the flow in time
    change(lab, "UPDATE equipment SET supports_auto_fetch = false")
    assert listed(lab, is_expiring=True) == [waiting]
    assert listed(lab, is_expiring=False) == [fresh]


def test_days_are_the_laboratorys_own(lab: Lab) -> None:
    (one,) = lab.order()
    change(lab, "UPDATE assignment SET created_at = '2026-03-01 23:30Z'")  # half past midnight in Lagos
    assert listed(lab, created_from=date(2026, 3, 2)) == [one]
    assert listed(lab, created_to=date(2026, 3, 1)) == []
    assert listed(lab, created_from=date(2026, 3, 2), created_to=date(2026, 3, 2)) == [one]


def test_pages_do_not_overlap(lab: Lab) -> None:
    ids = lab.order(count=5)
    with tenant_session(lab.tenant_id) as session:
        pages = [
            [row.id for row in worklist.load_worklist(session, lab.tenant_id, WorklistFilter(), limit=2, offset=offset)]
            for offset in (0, 2, 4)
        ]
    assert sorted(one for page in pages for one in page) == sorted(ids)


def test_a_comment_is_audited_without_its_words(lab: Lab) -> None:
    (one,) = lab.order()
    with tenant_session(lab.tenant_id) as session:
        comments.add_comment(session, lab.tenant_id, lab.actor(), one, CommentInput(body="patient fasted\nsince 6"))
        (made,) = comments.list_comments(session, lab.tenant_id, one)
        with pytest.raises(NotFoundError):
            comments.list_comments(session, lab.tenant_id, 99_999)
    assert made.body == "patient fasted\nsince 6"
    assert lab.audited(one) == ["assignment.order", "assignment.comment"]
