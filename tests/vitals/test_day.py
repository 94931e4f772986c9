"""A day judged: what is kept, who is told, and that a second look, a kill or another tenant changes nothing of it."""

import os
import signal
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from models.kernel import db
from models.kernel.audit import SYSTEM
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.tenancy import tenant_session
from models.upkeep.quality import failed_before
from models.vitals.stores import upkeep
from tasks.vitals import day as day_task
from tasks.vitals.day import DayReport, check_day
from tests.api.helpers import audited, make_user
from tests.factories import make_tenant
from tests.launcher.running import PATIENCE_SECONDS
from tests.vitals.conftest import Clinic
from tests.vitals.days import Wrist, wear, yesterday

pytestmark = pytest.mark.store
HOURLY = [float(hour) for hour in range(24)]
RATES = [70 + hour % 7 for hour in range(24)]


def run(tenant: str = "", day: date | None = None) -> DayReport:
    return check_day(tenant, day, SYSTEM)


def good(clinic: Clinic, code: str = "GOOD", patient: str = "P1") -> Wrist:
    """A device that did what it does every day."""
    wrist = wear(clinic, code, patient)
    wrist.put_usual(6, heart_rate=RATES)
    wrist.put(HOURLY, heart_rate=RATES, battery_level=[100 - hour for hour in range(24)], signal_quality=90)
    return wrist


def bad(clinic: Clinic, code: str = "BAD", patient: str = "P2") -> Wrist:
    """A device with something of everything."""
    wrist = wear(clinic, code, patient)
    wrist.put_usual(6, heart_rate=RATES)
    wrist.put(HOURLY[:20], heart_rate=133, battery_level=[95 - 4 * hour for hour in range(20)], signal_quality=50)
    wrist.hold([1, 2, 3, 4])
    return wrist


def checks(clinic: Clinic) -> list[Any]:
    return clinic.rows("SELECT * FROM quality_check ORDER BY id")


def failed(check: Any) -> dict[str, list[int]]:
    """Column to the devices that failed in it."""
    return {
        one["expectation_config"]["kwargs"]["column"]: one["result"]["unexpected_index_list"][0]["device_id"]
        for one in check.result["results"]
        if not one["success"]
    }


def mails(clinic: Clinic) -> list[Any]:
    return clinic.rows("SELECT payload FROM outbox_event WHERE type = 'devices.doubtful' ORDER BY id")


@pytest.fixture
def staffed(clinic: Clinic) -> Clinic:
    make_user(clinic.tenant_id, "tech@clinic.example", "technician")
    make_user(clinic.tenant_id, "boss@clinic.example", "supervisor")
    make_user(clinic.tenant_id, "nurse@clinic.example", "nurse")
    return clinic


def test_findings_are_kept_counted_and_told_of_and_readings_stay(staffed: Clinic) -> None:
    good(staffed)
    wrist = bad(staffed)
    before = staffed.rows("SELECT CAST(v AS text) FROM vital_sign v ORDER BY 1")
    report = run()
    counts = "gaps 1, stuck sensors 1, drifts 1, low batteries 1, falling batteries 1, poor signals 1"
    assert report.tally.message == f"devices judged 2, with findings 1, {counts}, high held shares 1"
    assert not report.tally.problems
    [check] = checks(staffed)
    assert (check.suite, check.batch, check.rows, check.failed_rows, check.is_met) == (
        *("vitals-day", yesterday().isoformat()),
        *(2, 1, False),
    )
    columns = {"gap", "stuck_heart_rate", "drift_heart_rate", "battery", "battery_days", "signal", "held"}
    assert failed(check) == {column: [wrist.device_id] for column in columns}
    [mail] = mails(staffed)
    assert mail.payload["to"] == ["boss@clinic.example", "tech@clinic.example"]
    assert mail.payload["context"]["day"] == yesterday().isoformat()
    [told] = mail.payload["context"]["devices"]
    assert told["device_id"] == "BAD"
    assert told["findings"][0] == "no reading for 300 min (90 allowed)"
    assert told["findings"][1] == "heart rate the same for 19.0 h (at most 6)"
    [row] = audited(staffed.tenant_id, "device.doubtful")
    assert (row.resource_id, row.changes["day"]) == (str(wrist.device_id), yesterday().isoformat())
    assert set(row.changes["rules"]) == columns
    assert staffed.rows("SELECT CAST(v AS text) FROM vital_sign v ORDER BY 1") == before


def test_a_good_day_is_kept_and_nobody_is_told(staffed: Clinic) -> None:
    good(staffed)
    assert run().tally.message == "devices judged 1"
    [check] = checks(staffed)
    assert (check.is_met, check.rows, mails(staffed)) == (True, 1, [])


def test_a_new_device_and_one_of_few_readings_are_not_judged(staffed: Clinic) -> None:
    wear(staffed).put([1, 9], heart_rate=[70, 200])
    assert run().tally.message == "devices judged 1"
    [check] = checks(staffed)
    assert {one["result"]["missing_count"] for one in check.result["results"]} == {1}


def test_where_there_are_no_devices_nothing_is_done(staffed: Clinic) -> None:
    assert run().tally.message == "nothing to do"
    assert checks(staffed) == []


def everything(clinic: Clinic) -> dict[str, list[Any]]:
    tables = ("quality_check", "audit_event", "outbox_event", "delivery", "vital_sign", "device_contact")
    return {table: clinic.rows(f"SELECT CAST(x AS text) FROM {table} x ORDER BY 1") for table in tables}


@pytest.mark.rerun
def test_the_same_day_again_leaves_the_same_rows(staffed: Clinic) -> None:
    good(staffed)
    bad(staffed)
    first = run()
    once = everything(staffed)
    assert run().tally.message == run(day=yesterday()).tally.message == first.tally.message
    assert everything(staffed) == once


@pytest.mark.rerun
def test_late_readings_change_what_was_found_and_only_new_devices_are_told_of(staffed: Clinic) -> None:
    wrist, other = bad(staffed), good(staffed)
    run()
    [check] = checks(staffed)
    wrist.put([20, 21, 22, 23], signal_quality=90)
    other.put([number / 100 for number in range(200)], signal_quality=3)
    report = run()
    [again] = checks(staffed)
    assert again.id == check.id
    assert again.validated_at > check.validated_at
    assert "gap" not in failed(again)
    assert failed(again)["signal"] == [wrist.device_id, other.device_id]
    assert report.tally.counts["with findings"] == 2
    first, second = mails(staffed)
    assert [one["device_id"] for one in first.payload["context"]["devices"]] == ["BAD"]
    assert [one["device_id"] for one in second.payload["context"]["devices"]] == ["GOOD"]


def test_each_day_has_its_own_check_and_days_long_past_no_mail(staffed: Clinic) -> None:
    wrist = wear(staffed)
    for back in (0, 6, 7):
        wrist.put([1, 20], back=back, battery_level=10)
    days = [yesterday() - timedelta(days=back) for back in (0, 6, 7)]
    for day in days:
        assert run(day=day).tally.counts["low batteries"] == 1
    assert [check.batch for check in checks(staffed)] == [day.isoformat() for day in days]
    assert [mail.payload["context"]["day"] for mail in mails(staffed)] == [day.isoformat() for day in days[:2]]


@pytest.mark.parametrize("ahead", [1, 2])
def test_a_day_that_has_not_ended_is_refused(staffed: Clinic, ahead: int) -> None:
    bad(staffed)
    with pytest.raises(InvalidError) as refused:
        run(day=yesterday() + timedelta(days=ahead))
    assert refused.value.field == "day"
    assert checks(staffed) == []


def test_where_nobody_can_be_told_the_run_says_so(clinic: Clinic) -> None:
    bad(clinic)
    report = run()
    assert report.tally.problems == {"nobody to mail": 1}
    assert len(checks(clinic)) == 1


class TestTenants:
    def test_each_has_its_own_check_and_mail(self, staffed: Clinic) -> None:
        other = Clinic(make_tenant("other", time_zone="Pacific/Auckland"))
        make_user(other.tenant_id, "tech@other.example", "technician")
        mine, theirs = bad(staffed), bad(other, "BAD", "P2")
        assert run().tally.counts["with findings"] == 2
        for clinic, wrist in ((staffed, mine), (other, theirs)):
            [check] = checks(clinic)
            assert {device for devices in failed(check).values() for device in devices} == {wrist.device_id}
            assert check.rows == 1
            [mail] = mails(clinic)
            assert [one["device_id"] for one in mail.payload["context"]["devices"]] == ["BAD"]
            assert all(
                to.endswith(f"@{'clinic' if clinic is staffed else 'other'}.example") for to in mail.payload["to"]
            )

    def test_one_alone_is_looked_at_when_it_is_named(self, staffed: Clinic) -> None:
        other = Clinic(make_tenant("other"))
        good(staffed)
        good(other)
        run("other")
        assert (checks(staffed), len(checks(other))) == ([], 1)
        with pytest.raises(NotFoundError):
            run("unheard-of")


def never(*_: Any, **__: Any) -> Any:
    raise RuntimeError("cannot be judged")


@pytest.mark.parametrize("where", ["validate", "load_days", "record_validation", "tell_of_doubtful"])
def test_an_error_ends_the_run_and_leaves_nothing(staffed: Clinic, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    bad(staffed)
    before = everything(staffed)
    monkeypatch.setattr(day_task, where, never)
    with pytest.raises(RuntimeError):
        run()
    assert everything(staffed) == before


STEPS: dict[str, tuple[Any, str, str]] = {
    "before the day is loaded": (day_task, "load_days", "before"),
    "when it is judged": (day_task, "validate", "after"),
    "before the check is written": (day_task, "record_validation", "before"),
    "after the check is written": (day_task, "record_validation", "after"),
    "after the audit row": (upkeep, "record_many", "after"),
    "before the commit": (day_task, "tell_of_doubtful", "after"),
    "after the commit of one tenant": (day_task, "_keep", "after"),
}


def in_a_process_of_its_own(prepare: Callable[[], None]) -> int:
    """A run in a fork (importing the suite takes seconds); its process id."""
    child = os.fork()
    if not child:
        try:
            db.engine.cache_clear()  # the connections are the parent's
            prepare()
            run()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def die_at(owner: Any, name: str, when: str) -> None:
    original: Callable[..., Any] = getattr(owner, name)

    def fatal(*args: Any, **kwargs: Any) -> None:
        if when == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, fatal)


@pytest.mark.rerun
@pytest.mark.parametrize("name", STEPS)
def test_killed_anywhere_the_next_run_has_the_same_end(staffed: Clinic, name: str) -> None:
    other = Clinic(make_tenant("other"))
    make_user(other.tenant_id, "tech@other.example", "technician")
    for clinic in (staffed, other):
        bad(clinic)
    child = in_a_process_of_its_own(lambda: die_at(*STEPS[name]))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    for clinic in (staffed, other):
        assert len(checks(clinic)) == len(mails(clinic)) == len(audited(clinic.tenant_id, "device.doubtful"))
    run()
    for clinic in (staffed, other):
        assert len(checks(clinic)) == len(mails(clinic)) == len(audited(clinic.tenant_id, "device.doubtful")) == 1


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.mark.rerun
def test_two_runs_at_once_keep_one_check_and_send_one_mail(staffed: Clinic) -> None:
    bad(staffed)
    run(day=yesterday() - timedelta(days=3))  # imports the suite before the forks
    already = len(checks(staffed))
    with tenant_session(staffed.tenant_id) as session:
        failed_before(session, staffed.tenant_id, "vitals-day", yesterday().isoformat(), "device_id")
        children = [in_a_process_of_its_own(lambda: None) for _ in range(2)]
        ends = time.monotonic() + PATIENCE_SECONDS
        while staffed.rows(WAITING)[0][0] < 2:
            assert time.monotonic() < ends, "nobody waits for who is at the same day"
            time.sleep(0.05)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert len(checks(staffed)) == already + 1
    assert len([mail for mail in mails(staffed) if mail.payload["context"]["day"] == yesterday().isoformat()]) == 1
