"""Partitions made ahead, rows that fit none, and silent devices."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from models.kernel.audit import SYSTEM
from models.kernel.tenancy import owner_session, registry_session, tenant_session
from models.vitals.stores import upkeep
from tasks.vitals.upkeep import prepare, tell_of_silence
from tests.api.helpers import audited, make_user
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.test_doors import moment, reading

pytestmark = pytest.mark.store


def test_months_are_made_once_and_hold_what_falls_into_them(worn: Worn) -> None:
    with registry_session() as session:
        assert upkeep.make_partitions(session) == 0, "the migration made them"
        assert upkeep.make_partitions(session, ahead=upkeep.MONTHS_AHEAD + 1) == len(upkeep.PARTITIONED)
        assert upkeep.make_partitions(session, ahead=upkeep.MONTHS_AHEAD + 1) == 0
    worn.clinic.worn_since(worn.device_id, days=800)
    for days in (0, 40, 300, 700):
        assert worn.post(reading(timestamp=moment(days=days, minutes=1))).status_code == 200
    with owner_session() as session:
        found = session.execute(text("SELECT tableoid::regclass::text, count(*) FROM vital_sign GROUP BY 1")).all()
    assert len(found) == 4
    assert not any("default" in name for name, _ in found)
    assert prepare().message == "nothing to do"


def test_a_row_that_fits_no_month_is_kept_and_told_of(worn: Worn) -> None:
    assert worn.post(reading()).status_code == 200
    with owner_session() as session:
        session.execute(text("UPDATE vital_sign SET recorded_at = recorded_at - interval '9 years'"))
    tally = prepare()
    assert tally.problems == {"rows of vital_sign outside every month": 1}
    assert len(worn.clinic.rows("SELECT 1 FROM vital_sign")) == 1


def test_counts_of_past_minutes_go(worn: Worn) -> None:
    assert worn.post(reading()).status_code == 200
    worn.clinic.rows("UPDATE tenant_rate SET minute = minute - interval '2 days' RETURNING 1")
    prepare()
    assert worn.clinic.rows("SELECT 1 FROM tenant_rate") == []


def test_a_silent_device_is_told_of_once_until_it_sends_again(clinic: Clinic) -> None:
    make_user(clinic.tenant_id, "tech@clinic.example", "technician")
    device_id = clinic.device("DEV001", clinic.patient(), silence_minutes=30)
    quiet = clinic.device("DEV002", clinic.patient("P2"))
    key = clinic.key(device_id)
    assert clinic.post(key, reading(timestamp=moment(minutes=45))).status_code == 200
    other = reading(timestamp=moment(minutes=45)) | {"device_id": "DEV002"}
    assert clinic.post(clinic.key(quiet), other).status_code == 200
    assert tell_of_silence("", SYSTEM).message == "silent devices 1"
    assert tell_of_silence("", SYSTEM).message == "nothing to do"
    headers = {"Authorization": f"Bearer {key}"}
    assert clinic.door.get("/api/iot/status/", headers=headers).status_code == 200
    assert tell_of_silence("", SYSTEM).message == "nothing to do", (
        "a sign of life is no reading, and no reason to repeat"
    )
    [mail] = clinic.rows("SELECT payload FROM outbox_event WHERE type = 'devices.silent'")
    assert mail.payload["to"] == ["tech@clinic.example"]
    assert mail.payload["context"]["devices"] == [{"device_id": "DEV001", "minutes": 45}]
    assert [row.resource_id for row in audited(clinic.tenant_id, "device.silent")] == [str(device_id)]
    assert clinic.post(key, reading()).status_code == 200
    with tenant_session(clinic.tenant_id) as session:
        later = datetime.now(UTC) + timedelta(minutes=40)
        silent, _ = upkeep.tell_of_silence(session, clinic.tenant_id, SYSTEM, now=later)
    assert [one.code for one in silent] == ["DEV001"]


def test_where_nobody_can_be_told_the_run_says_so(clinic: Clinic) -> None:
    device_id = clinic.device("DEV001", clinic.patient(), silence_minutes=30)
    clinic.post(clinic.key(device_id), reading(timestamp=moment(minutes=45)))
    assert tell_of_silence("", SYSTEM).problems == {"nobody to mail": 1}
