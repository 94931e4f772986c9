"""check-vitals-day as operators and staff meet it: state, table, Data Docs, and no patient's data in any of them."""

import asyncio
import json
from datetime import date, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.logging.handlers import APILogHandler
from sqlalchemy import text

from flows.vitals.check_vitals_day import check_vitals_day
from models.kernel.tenancy import owner_session
from tasks.vitals import day as day_task
from tests.api.helpers import PAGE, client, make_user, signed_in
from tests.factories import make_tenant
from tests.vitals.conftest import Clinic
from tests.vitals.days import Wrist, wear, yesterday

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.xdist_group("prefect")]
CODE, FAMILY = "CODE-55190", "Zyxwhistle"
VALUES = ("133.57", "211.43", "37.77")
"""Values of nobody else: planted, to be found nowhere."""


@pytest.fixture
def wrist(clinic: Clinic) -> Wrist:
    """A device with a stuck sensor that also drifted, and a patient whose name and values are nowhere else."""
    make_user(clinic.tenant_id, "tech@clinic.example", "technician")
    make_user(clinic.tenant_id, "boss@clinic.example", "supervisor")
    made = wear(clinic, "DEV-77", CODE)
    clinic.rows(f"UPDATE patient SET family_name = '{FAMILY}' RETURNING 1")
    made.put_usual(6, glucose=VALUES[0], temperature=VALUES[2])
    made.put([float(hour) for hour in range(24)], glucose=VALUES[1], temperature=VALUES[2])
    return made


async def table() -> list[dict[str, Any]]:
    async with get_client() as prefect:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["check-vitals-day-devices"]))
        artifacts = await prefect.read_artifacts(artifact_filter=key)
    found: list[dict[str, Any]] = json.loads(str(max(artifacts, key=lambda one: str(one.created)).data))
    return found


@pytest.mark.rerun
async def test_the_run_is_completed_says_counts_and_shows_devices(wrist: Wrist, prefect_server: None) -> None:
    expected = "devices judged 1, with findings 1, stuck sensors 2, drifts 1"
    for day in (None, yesterday()):
        state = await check_vitals_day(day=day, return_state=True)
        assert (state.is_completed(), state.message) == (True, expected)
        [row] = await table()
        assert (row["tenant"], row["device"]) == (wrist.clinic.tenant_id, wrist.device_id)
        assert row["rules"] == "stuck_temperature, stuck_glucose, drift_glucose"
        assert row["by how much"] == (
            "temperature the same for 23.0 h (at most 8); glucose the same for 23.0 h (at most 6); "
            "glucose 5.2 spreads from usual (at most 3.5)"
        )
    assert len(wrist.clinic.rows("SELECT 1 FROM quality_check")) == 1


async def test_a_run_with_an_error_inside_is_not_green(
    wrist: Wrist, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await check_vitals_day(day=date(2999, 1, 1), return_state=True)
    assert refused.is_failed()
    monkeypatch.setattr(day_task, "load_days", broken)
    state = await check_vitals_day(tenant="clinic", return_state=True)
    assert state.is_failed()
    assert not any(word in str(state.message) for word in (CODE, FAMILY, *VALUES))
    assert wrist.clinic.rows("SELECT 1 FROM quality_check") == []


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(f"{CODE} {FAMILY} {VALUES}")


async def test_no_value_and_no_patient_is_shown_anywhere(
    wrist: Wrist, prefect_server: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    state = await check_vitals_day(tenant="clinic", day=yesterday(), return_state=True)
    assert state.is_completed()
    await APILogHandler.aflush()
    await asyncio.sleep(1)
    async with get_client() as prefect:
        prefects = [str(vars(one)) for one in [*await prefect.read_artifacts(), *await prefect.read_flow_runs()]]
        prefects += [str(vars(one)) for one in [*await prefect.read_task_runs(), *await prefect.read_logs()]]
    with owner_session() as session:
        tables = ("quality_check", "outbox_event", "delivery", "audit_event")
        kept = [str(row) for one in tables for row in session.execute(text(f"SELECT CAST(x AS text) FROM {one} x"))]
    boss = signed_in("boss@clinic.example")
    [check] = [row.id for row in wrist.clinic.rows("SELECT id FROM quality_check")]
    pages = [boss.get(address, headers=PAGE).text for address in ("/quality", f"/quality/{check}")]
    pages += [boss.get(f"/api/v1/quality-checks{address}").text for address in ("", f"/{check}")]
    written = capfd.readouterr()
    shown = "\n".join([*prefects, *kept, *pages, written.out, written.err, caplog.text])
    assert f"Vitals day {yesterday()}" in shown, "the search itself does not work"
    assert "check-vitals-day" in shown
    assert [word for word in (CODE, FAMILY, *VALUES, "133.5", "211.4") if word in shown] == []


@pytest.mark.api
async def test_data_docs_name_day_and_devices_and_are_the_tenants_own(wrist: Wrist, prefect_server: None) -> None:
    other = Clinic(make_tenant("other"))
    make_user(other.tenant_id, "boss@other.example", "supervisor")
    await check_vitals_day(return_state=True)
    [check] = [row.id for row in wrist.clinic.rows("SELECT id FROM quality_check")]
    boss = signed_in("boss@clinic.example")
    listed = boss.get("/quality", headers=PAGE).text
    assert str(yesterday()) in listed
    shown = boss.get(f"/quality/{check}", headers=PAGE).text
    assert f"Vitals day {yesterday()}" in shown
    assert f'href="/devices/{wrist.device_id}"' in shown
    assert "Glucose: not the same for longer than a living patient" in shown
    assert 'btn--primary" href="/held"' not in shown, "nothing was held"
    assert boss.get(f"/api/v1/quality-checks/{check}").json()["batch"] == str(yesterday())
    stranger = signed_in("boss@other.example")
    assert stranger.get(f"/quality/{check}", headers=PAGE).status_code == 404
    assert stranger.get("/api/v1/quality-checks").json()["total"] == 0
    assert client().get(f"/api/v1/quality-checks/{check}").status_code == 401


async def test_a_day_is_one_of_the_parameters_a_person_can_give(wrist: Wrist, prefect_server: None) -> None:
    schema = check_vitals_day.parameters.model_dump()["properties"]
    assert schema["day"]["description"].startswith("a day that has ended")
    assert {"type": "string", "format": "date"} in schema["day"]["anyOf"]
    wrist.put([1, 5], back=9, battery_level=3)
    day = yesterday() - timedelta(days=9)
    state = await check_vitals_day(**check_vitals_day.validate_parameters({"day": str(day)}), return_state=True)
    assert state.message == "devices judged 1, with findings 1, low batteries 1"
