"""Each reading once, whatever order they come in: nothing is looked for that cannot be there, all else is found."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.vitals import writer
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from models.vitals.entries import HeldDecision
from models.vitals.readings import parse
from models.vitals.stores.admission import Request
from models.vitals.stores.file_batches import FileReading, store_file_readings
from models.vitals.stores.held import list_held, release_held
from tests.vitals.conftest import Clinic
from tests.vitals.test_writer import key_of

pytestmark = pytest.mark.store
MINUTES = st.integers(-3, 5)
"""Before now; a device's clock may be ahead."""
RATES = st.integers(60, 62)
GROUPS = st.lists(st.tuples(st.booleans(), st.lists(st.tuples(MINUTES, RATES), min_size=1, max_size=4)), max_size=6)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=GROUPS)
def test_each_reading_is_stored_once_and_a_correction_names_the_one_before(clinic: Clinic, groups: Any) -> None:
    now = datetime.now(UTC)
    device_id = clinic.device(f"D{now.timestamp()}", clinic.patient(f"P{now.timestamp()}"))
    key_id = key_of(clinic, device_id)
    said: dict[tuple[int, int], int] = {}
    for is_file, group in groups:
        read = [
            parse({"timestamp": (now - timedelta(minutes=minutes)).isoformat(), "heart_rate": rate}, zone=None)
            for minutes, rate in group
        ]
        if is_file:
            with tenant_session(clinic.tenant_id) as session:
                wanted = [FileReading(device_id, one) for one in read]
                fates = store_file_readings(session, clinic.tenant_id, now, wanted)
            assert [fate == "repeated" for fate in fates] == [
                one in said or one in group[:index] for index, one in enumerate(group)
            ]
            stored = dict.fromkeys(group, 0)
        else:
            requests = [Request(key_id, device_id, "vitals", now, None, (one,)) for one in read]
            outcomes = writer.commit([(clinic.tenant_id, one) for one in requests], lambda *_: None)
            stored = {
                one: outcome.stored[0].vital_sign_id or 0
                for one, outcome in zip(group, outcomes, strict=True)
                if outcome.stored[0] is not None
            }
        for one, vital_sign_id in stored.items():
            assert not said.get(one) or not vital_sign_id or said[one] == vital_sign_id, "answered as the first time"
            said[one] = said.get(one) or vital_sign_id
    rows = clinic.rows("SELECT * FROM vital_sign WHERE device_id = :d ORDER BY id", d=device_id)
    assert len(rows) == len(said)
    latest: dict[datetime, int] = {}
    for row in rows:
        assert row.corrects_id == latest.get(row.recorded_at)
        latest[row.recorded_at] = row.id


def test_what_is_released_corrects_what_was_there_and_is_found_afterwards(clinic: Clinic) -> None:
    device_id = clinic.device("DEV001", clinic.patient())
    key, at = clinic.key(device_id), datetime.now(UTC).isoformat()
    for rate, status in ((75, 200), (9, 202)):
        sent = clinic.post(key, {"device_id": "DEV001", "timestamp": at, "heart_rate": rate})
        assert sent.status_code == status
    with tenant_session(clinic.tenant_id) as session:
        (waiting,), _ = list_held(session, clinic.tenant_id)
        decision = HeldDecision(reason="seen at the bedside")
        _, released = release_held(session, clinic.tenant_id, SYSTEM, waiting.row.id, decision)
    assert clinic.post(key, {"device_id": "DEV001", "timestamp": at, "heart_rate": 12}).status_code == 200
    rows = clinic.rows("SELECT id, corrects_id FROM vital_sign ORDER BY id")
    assert [row.corrects_id for row in rows] == [None, rows[0].id, released]
