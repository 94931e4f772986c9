"""The patient is asked first, then the ladder goes on by itself: driven with a moved clock, each step once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.alerts.schemas import AcknowledgeIn, CloseIn
from models.alerts.stores import alerts, escalation
from models.alerts.stores.escalation import escalate
from models.alerts.stores.questions import answer_question, find_question, open_question
from models.kernel.audit import SYSTEM
from models.kernel.errors import ConflictError, NotFoundError
from models.kernel.tenancy import registry_session, tenant_session
from models.people.schemas import MergeIn
from models.people.stores.merges import merge_patients
from tests.alerts.conftest import Clinic
from tests.api.helpers import make_user
from tests.factories import make_tenant

pytestmark = pytest.mark.store


def answer(clinic: Clinic, said: str, token: str = "") -> None:
    with registry_session() as session:
        found = find_question(session, token or clinic.token())
    assert found is not None
    with tenant_session(found[0]) as session:
        answer_question(session, *found[:1], SYSTEM, found[1], said, now=clinic.now)


def acknowledge(clinic: Clinic, user_id: int) -> None:
    [alert] = clinic.rows("SELECT id, version FROM alert")
    with tenant_session(clinic.tenant_id) as session:
        given = AcknowledgeIn(version=alert.version, read_back="heart rate, I go to see her")
        alerts.acknowledge(session, clinic.tenant_id, SYSTEM, alert.id, given, user_id=user_id)


def test_nobody_but_the_patient_is_told_before_the_deadline(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    clinic.later(minutes=4, seconds=50)
    assert clinic.told() == []
    [mail] = clinic.mails("alert_question")
    assert (mail["to"], mail["minutes"] if "minutes" in mail else mail["context"]["minutes"]) == (
        ["jo@home.example"],
        5,
    )
    assert "lw_alert_" in mail["link"]
    [raw] = clinic.rows("SELECT CAST(payload AS text) AS payload FROM outbox_event")
    [kept] = clinic.rows("SELECT token_hash FROM alert_question")
    assert ("lw_alert_" not in raw.payload, len(kept.token_hash)) == (True, 32)


def test_without_an_answer_the_ladder_goes_on_by_itself_step_by_step(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    clinic.later(minutes=5)
    assert clinic.told() == ["doctor", "nurse"]
    clinic.later(minutes=9, seconds=50)
    assert clinic.told() == ["doctor", "nurse"]
    clinic.later(seconds=20)
    assert clinic.told() == ["doctor", "nurse", "emergency"]
    clinic.later(days=1)
    assert clinic.told() == ["doctor", "nurse", "emergency"]
    assert clinic.story() == ["opened", "asked", "unanswered", "told", "told"]


def test_after_a_downtime_every_step_missed_is_done_once(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    clinic.later(hours=3)
    assert clinic.told() == ["doctor", "nurse", "emergency"]
    assert clinic.later(hours=1).alerts == 0


def test_yes_tells_at_once_and_the_ladder_goes_on(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    answer(clinic, "yes")
    assert clinic.told() == ["doctor", "nurse"]
    clinic.later(minutes=10)
    assert clinic.told() == ["doctor", "nurse", "emergency"]


def test_no_is_recorded_and_nobody_is_told(clinic: Clinic) -> None:
    clinic.reads(heart_rate=120)
    answer(clinic, "no")
    clinic.later(days=1)
    assert clinic.told() == []
    assert clinic.rows("SELECT answer FROM alert_question")[0].answer == "no"
    assert clinic.alerts() == [("heart_rate_high", "warning", None)]


def test_no_holds_only_until_it_gets_worse(clinic: Clinic) -> None:
    clinic.reads(heart_rate=120)
    answer(clinic, "no")
    clinic.reads(heart_rate=150)
    assert len(clinic.mails("alert_question")) == 2
    clinic.later(minutes=5)
    assert clinic.told() == ["doctor", "nurse"]


def test_no_after_the_deadline_does_not_call_anybody_back(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    clinic.later(minutes=5)
    answer(clinic, "no")
    clinic.later(minutes=11)
    assert clinic.told() == ["doctor", "nurse", "emergency"]


@pytest.mark.parametrize("waited", [0, 6, 60])
def test_help_tells_emergency_at_once_whenever_it_is_asked_for(clinic: Clinic, waited: int) -> None:
    clinic.reads(heart_rate=120)
    clinic.later(minutes=waited)
    before = len(clinic.told())
    answer(clinic, "help")
    assert clinic.told()[before:] == ["doctor", "nurse", "emergency"]
    [*_, last] = clinic.mails()
    assert last["context"]["asks_for_help"] is True
    assert last["patient"] == "Jo Doe (P1)"
    clinic.later(days=1)
    assert len(clinic.told()) == before + 3


def test_only_emergency_reads_who_it_is_and_nobody_a_value(clinic: Clinic) -> None:
    clinic.reads(heart_rate=153)
    clinic.later(hours=1)
    assert [mail["patient"] for mail in clinic.mails()] == ["", "", "Jo Doe (P1)"]
    payloads = [row.payload for row in clinic.rows("SELECT payload FROM outbox_event")]  # base64 has any word
    raw = str(
        [{name: told for name, told in one.items() if name != "secrets"} for one in payloads]
    )  # base64 has any word
    assert "153" not in raw
    assert "Doe" not in raw
    assert not any("Jo Doe (P1)" in str(one) for one in payloads)


def test_a_question_is_answered_once(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    token = clinic.token()
    results: list[str] = []

    def try_once(said: str) -> None:
        try:
            answer(clinic, said, token)
            results.append(said)
        except NotFoundError:
            results.append("used up")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(try_once, ["yes", "no", "help"] * 2))
    assert results.count("used up") == 5
    with pytest.raises(NotFoundError), tenant_session(clinic.tenant_id) as session:
        open_question(session, clinic.tenant_id, 1, now=clinic.now)


def test_a_link_ends_with_its_alert_and_with_its_day(clinic: Clinic) -> None:
    clinic.reads("P1", heart_rate=150)
    clinic.reads("P2", heart_rate=150)
    clinic.reads("P1", heart_rate=75)
    for number in (0, 1):
        clinic.later(days=number * 2)
        with pytest.raises(NotFoundError):
            answer(clinic, "yes", clinic.token(number))
    with registry_session() as session:
        assert find_question(session, "lw_alert_unknown") is None


def test_who_has_no_address_is_not_waited_for(clinic: Clinic) -> None:
    clinic.patient("P9", email=None)
    clinic.reads("P9", heart_rate=120)
    assert clinic.told() == ["doctor", "nurse"]
    assert clinic.story() == ["opened", "not_asked", "told"]


def test_where_the_tenant_says_so_a_critical_level_skips_the_question(clinic: Clinic) -> None:
    clinic.policy(critical_skips_question=True)
    clinic.reads("P1", heart_rate=120)
    assert clinic.told() == []
    clinic.reads("P2", heart_rate=150)
    assert clinic.told() == ["doctor", "nurse"]
    clinic.reads("P1", heart_rate=150)  # the question is still open, and no longer waited for
    assert clinic.told() == ["doctor", "nurse"] * 2


def test_a_ladder_of_the_tenants_own(clinic: Clinic) -> None:
    steps = [(0, ["nurse"]), (2, ["doctor"]), (30, ["emergency", "doctor"])]
    clinic.policy(question_minutes=1, ladder=[{"after_minutes": m, "roles": r} for m, r in steps])
    clinic.reads(heart_rate=120)
    for minutes, told in ((1, 1), (2, 2), (27, 2), (1, 4)):
        clinic.later(minutes=minutes)
        assert len(clinic.told()) == told
    assert clinic.told() == ["nurse", "doctor", "emergency", "doctor"]


def test_a_step_that_reaches_nobody_does_not_cost_its_time(database: Any) -> None:
    clinic = Clinic(make_tenant("alone"))
    clinic.contacts("emergency")
    clinic.reads(heart_rate=150)
    done = clinic.later(minutes=5)
    assert (clinic.told(), done.steps, len(done.nobody)) == (["emergency"], 2, 1)
    make_user(clinic.tenant_id, "dr@clinic.example", "doctor")
    clinic.reads("P2", heart_rate=150)
    clinic.later(minutes=5)
    assert clinic.told() == ["emergency", "dr"]


def test_acknowledging_stops_the_ladder_and_worsening_starts_it_anew(clinic: Clinic) -> None:
    user_id = make_user(clinic.tenant_id, "dr@clinic.example", "doctor")
    clinic.reads(heart_rate=120)
    clinic.later(minutes=5)
    acknowledge(clinic, user_id)
    clinic.later(days=1)
    assert clinic.told() == ["doctor", "nurse"]
    with pytest.raises(ConflictError, match="already"):
        acknowledge(clinic, user_id)
    clinic.reads(heart_rate=150)
    clinic.later(minutes=11)
    assert clinic.told() == ["doctor", "nurse", "doctor", "nurse", "emergency"]
    [alert] = clinic.rows("SELECT acknowledged_at, round FROM alert")
    assert (alert.acknowledged_at, alert.round) == (None, 2)


def test_recovery_and_closing_stop_the_ladder(clinic: Clinic) -> None:
    user_id = make_user(clinic.tenant_id, "dr@clinic.example", "doctor")
    clinic.reads("P1", heart_rate=150)
    clinic.reads("P2", heart_rate=150)
    clinic.reads("P1", heart_rate=75)
    with tenant_session(clinic.tenant_id) as session:
        given = CloseIn(version=1, reason="she was running")
        alerts.close(session, clinic.tenant_id, SYSTEM, 2, given, user_id=user_id)
    clinic.later(days=1)
    assert (clinic.told(), [ending for _, _, ending in clinic.alerts()]) == ([], ["recovered", "closed"])


def test_a_run_that_breaks_before_its_commit_has_told_nobody_and_the_next_tells_once(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.reads(heart_rate=150)
    with monkeypatch.context() as broken:
        broken.setattr(escalation.Way, "_finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clinic.later(minutes=5)
    assert clinic.told() == []
    clinic.later()
    clinic.later()
    assert clinic.told() == ["doctor", "nurse"]


def test_runs_at_once_do_each_step_once(clinic: Clinic) -> None:
    for number in range(30):
        clinic.reads(f"P{number}", heart_rate=150)
    clinic.later(minutes=1)

    def run(_: int) -> int:
        with tenant_session(clinic.tenant_id) as session:
            return escalate(session, clinic.tenant_id, clinic.now).steps

    clinic.now = clinic.now.replace(hour=clinic.now.hour + 2)
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(run, range(12))) == 60
    assert len(clinic.told()) == 90


def test_two_merged_patients_have_one_open_alert_of_a_kind_the_worse(clinic: Clinic) -> None:
    clinic.reads("P1", heart_rate=120)
    clinic.reads("P2", heart_rate=150, glucose=40)
    with tenant_session(clinic.tenant_id) as session:
        given = MergeIn(merged_id=clinic.patient("P2"), version=1, merged_version=1)
        merge_patients(session, clinic.tenant_id, SYSTEM, clinic.patient("P1"), given)
    found = clinic.rows("SELECT patient_id, kind, level, ending FROM alert ORDER BY id")
    assert {row.patient_id for row in found} == {clinic.patient("P1")}
    assert [(row.kind, row.level, row.ending) for row in found] == [
        ("heart_rate_high", "critical", None),
        ("glucose_low", "critical", None),
        ("heart_rate_high", "critical", "merged"),
    ]
