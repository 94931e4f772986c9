"""stale-assignments: one mail per department and day, nothing once acknowledged, expired results told of once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text

from models.instruments.inputs import AcknowledgeInput, DepartmentInput
from models.instruments.stores import notices
from models.instruments.stores.comments import acknowledge_stale
from models.instruments.stores.departments import create_department
from models.instruments.tables import StaleNotice
from models.kernel.tables import OutboxEvent
from models.kernel.tenancy import owner_session, tenant_session
from tasks.instruments import overdue
from tasks.instruments.report import identity
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab
from tests.instruments.world import dump, run_sql

pytestmark = pytest.mark.store
TABLES = ("assignment", "stale_notice", "outbox_event", "delivery", "audit_event")


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


def department(lab: Lab, name: str, email: str | None) -> int:
    with tenant_session(lab.tenant_id) as session:
        return create_department(session, lab.tenant_id, lab.actor("admin"), DepartmentInput(name=name, email=email)).id


def order(lab: Lab, department_id: int | None, *, hours: float, status: str = "P", count: int = 1) -> list[int]:
    ids = lab.order(count=count)
    place = "NULL" if department_id is None else str(department_id)
    run_sql(
        f"UPDATE assignment SET department_id = {place}, status = '{status}', "
        f"ordered_at = now() - interval '{hours} hours', queued_at = now() - interval '{hours} hours' "
        f"WHERE id IN ({', '.join(map(str, ids))})"
    )
    return ids


def mails(lab: Lab, template: str = "stale_assignments") -> list[dict[str, Any]]:
    with tenant_session(lab.tenant_id) as session:
        events = session.scalars(select(OutboxEvent).order_by(OutboxEvent.id))
        return [event.payload for event in events if event.payload.get("template") == template]


def numbers(mail: dict[str, Any]) -> list[str]:
    return [one["request_id"] for one in mail["context"]["assignments"]]


def requests(ids: Sequence[int]) -> list[str]:
    return [f"REQ-{one}" for one in ids]


def test_one_mail_per_department_with_what_is_open_for_more_than_a_day(lab: Lab) -> None:
    blood, serum = department(lab, "Haematology", "haema@lab.example"), department(lab, "Chemistry", "chem@lab.example")
    old = [order(lab, blood, hours=hours, status=status)[0] for hours, status in ((30, "P"), (26, "H"), (25, "F"))]
    order(lab, blood, hours=23)
    order(lab, blood, hours=48, status="V")
    other = order(lab, serum, hours=25, status="U")
    tally = overdue.tell_of_stale("")
    first, second = mails(lab)
    assert (first["to"], numbers(first), first["context"]["department"]) == (
        ["haema@lab.example"],
        requests(old),
        "Haematology",
    )
    assert (second["to"], numbers(second)) == (["chem@lab.example"], requests(other))
    assert [one["hours"] for one in first["context"]["assignments"]] == [30, 26, 25]
    assert first["context"]["link"].endswith("/worklist")
    assert tally.message == "stale 4, mails 2"


@pytest.mark.parametrize("status", ["P", "Q", "I", "U", "H", "F"])
def test_every_open_state_is_told_of(lab: Lab, status: str) -> None:
    place = department(lab, "Haematology", "haema@lab.example")
    order(lab, place, hours=25, status=status)
    overdue.tell_of_stale("")
    assert len(mails(lab)) == 1


@pytest.mark.parametrize("status", ["A", "V", "R", "C"])
def test_what_has_a_result_or_is_given_up_is_not_stale(lab: Lab, status: str) -> None:
    place = department(lab, "Haematology", "haema@lab.example")
    order(lab, place, hours=25, status=status)
    overdue.tell_of_stale("")
    assert mails(lab) == []


def test_a_second_run_on_the_same_day_changes_no_row(lab: Lab) -> None:
    order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25, count=2)
    overdue.tell_of_stale("")
    before = dump(*TABLES)
    assert overdue.tell_of_stale("").message == "nothing to do"
    assert dump(*TABLES) == before


def test_the_next_day_only_what_was_not_acknowledged_is_told_again(lab: Lab) -> None:
    one, other = order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25, count=2)
    overdue.tell_of_stale("")
    with tenant_session(lab.tenant_id) as session:
        acknowledge_stale(session, lab.tenant_id, lab.actor(), AcknowledgeInput(assignment_ids=[one]))
    run_sql("UPDATE stale_notice SET day = day - 1")
    overdue.tell_of_stale("")
    assert numbers(mails(lab)[-1]) == requests([other])
    run_sql("UPDATE stale_notice SET day = day - 1")
    with tenant_session(lab.tenant_id) as session:
        acknowledge_stale(session, lab.tenant_id, lab.actor(), AcknowledgeInput(assignment_ids=[other]))
    assert overdue.tell_of_stale("").message == "nothing to do"
    assert len(mails(lab)) == 2


def test_without_an_address_the_supervisors_are_told(lab: Lab) -> None:
    run_sql("UPDATE app_user SET roles = ARRAY['supervisor'] WHERE email = 'admin@lab.example'")
    order(lab, department(lab, "Haematology", None), hours=25)
    order(lab, None, hours=25)
    overdue.tell_of_stale("")
    assert [mail["to"] for mail in mails(lab)] == [["admin@lab.example"]] * 2


def test_where_nobody_can_be_told_the_run_says_so(lab: Lab) -> None:
    order(lab, department(lab, "Haematology", None), hours=25)
    tally = overdue.tell_of_stale("")
    assert mails(lab) == []
    assert tally.problems == {"departments without an address": 1}


def test_the_day_is_the_laboratory_s(lab: Lab) -> None:
    order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25)
    run_sql("UPDATE tenant SET time_zone = 'Pacific/Kiritimati'")
    overdue.tell_of_stale("")
    run_sql("UPDATE tenant SET time_zone = 'Pacific/Pago_Pago'")  # never the same day there
    overdue.tell_of_stale("")
    with tenant_session(lab.tenant_id) as session:
        assert len({notice.day for notice in session.scalars(select(StaleNotice))}) == 2


def test_a_result_that_was_never_answered_is_told_of_once(lab: Lab) -> None:
    place = department(lab, "Haematology", "haema@lab.example")
    one, other = order(lab, place, hours=25, status="Q")[0], order(lab, place, hours=26, status="I")[0]
    order(lab, place, hours=23.5, status="Q")
    who = identity("stale-assignments")
    assert overdue.tell_of_expired("", who).message == "never answered 2, mails 1"
    (mail,) = mails(lab, "results_expired")
    assert numbers(mail) == requests([other, one])
    assert lab.audited(one)[-1] == "assignment.expire"
    before = dump(*TABLES)
    assert overdue.tell_of_expired("", who).message == "nothing to do"
    assert dump(*TABLES) == before


def test_mails_name_no_patient(lab: Lab) -> None:
    order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25, status="Q")
    overdue.tell_of_stale("")
    overdue.tell_of_expired("", identity("stale-assignments"))
    said = str(mails(lab) + mails(lab, "results_expired"))
    assert len(mails(lab, "results_expired")) == 1
    for value in ("PAT-001", "Ade", "Bola", "SAMP-123"):
        assert value not in said


def test_other_tenants_are_told_apart(lab: Lab) -> None:
    other = make_lab("beta")
    order(lab, department(lab, "Haematology", "a@lab.example"), hours=25)
    order(other, department(other, "Haematology", "b@lab.example"), hours=25)
    overdue.tell_of_stale("beta")
    assert (mails(lab), [mail["to"] for mail in mails(other)]) == ([], [["b@lab.example"]])
    overdue.tell_of_stale("")
    assert len(mails(lab)) == 1


class TestWithinTheHour:
    """poll-results tells of what expired without waiting for the morning."""

    def told(self) -> str:
        return overdue.tell_of_expired("", identity(overdue.POLL), gather=overdue.GATHER).message

    def test_what_expired_half_an_hour_ago_is_told_of_with_what_expired_since(self, lab: Lab) -> None:
        place = department(lab, "Haematology", "haema@lab.example")
        old, young = order(lab, place, hours=24.6, status="Q")[0], order(lab, place, hours=24.1, status="I")[0]
        order(lab, place, hours=23.9, status="Q")
        assert self.told() == "never answered 2, mails 1"
        (mail,) = mails(lab, "results_expired")
        assert numbers(mail) == requests([old, young])

    def test_what_expired_just_now_waits_for_company(self, lab: Lab) -> None:
        ids = order(lab, department(lab, "Haematology", "haema@lab.example"), hours=24.4, status="Q")
        assert self.told() == "nothing to do"
        run_sql(f"UPDATE assignment SET queued_at = queued_at - interval '10 minutes' WHERE id = {ids[0]}")
        assert self.told() == "never answered 1, mails 1"

    def test_each_is_told_of_within_the_hour_and_once_with_the_morning_s_run_too(self, lab: Lab) -> None:
        """A day of the ten-minute schedule: one result expires every seven minutes."""
        place = department(lab, "Haematology", "haema@lab.example")
        for number in range(12):
            order(lab, place, hours=22 + number * 7 / 60, status="Q")
        late: list[float] = []
        for _ in range(20):
            run_sql("UPDATE assignment SET queued_at = queued_at - interval '10 minutes'")
            before = len(mails(lab, "results_expired"))
            self.told()
            for mail in mails(lab, "results_expired")[before:]:
                late += [minutes_past_expiry(number) for number in numbers(mail)]
        assert len(late) == 12
        assert max(late) <= 60
        assert len(mails(lab, "results_expired")) <= 5
        assert overdue.tell_of_expired("", identity("stale-assignments")).message == "nothing to do"

    def test_two_at_once_tell_once(self, lab: Lab) -> None:
        order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25, status="Q", count=5)
        with ThreadPoolExecutor(4) as pool:
            said = list(pool.map(lambda _: self.told(), range(4)))
        assert sorted(said) == ["never answered 5, mails 1", *["nothing to do"] * 3]
        assert len(mails(lab, "results_expired")) == 1

    def test_a_run_that_is_killed_before_it_commits_has_told_nobody(
        self, lab: Lab, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order(lab, department(lab, "Haematology", "haema@lab.example"), hours=25, status="Q")
        before = dump(*TABLES)
        with monkeypatch.context() as broken:
            broken.setattr(notices, "_mail", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                self.told()
        assert dump(*TABLES) == before
        assert self.told() == "never answered 1, mails 1"


def minutes_past_expiry(request: str) -> float:
    """How long ago this one's 24 hours were over."""
    with owner_session() as session:
        wanted = text("SELECT extract(epoch FROM now() - queued_at) / 60 - 1440 FROM assignment WHERE request_id = :id")
        return float(session.scalar(wanted, {"id": request}) or 0)
