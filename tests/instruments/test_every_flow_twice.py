"""Every flow of prefect.yaml run twice over a laboratory with work of every kind: same rows, same outside calls."""

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from deployments.launcher.parts import ROOT
from deployments.simulators.mailbox import Mailbox
from models.all_tables import AREAS
from models.instruments.inputs import DepartmentInput
from models.instruments.stores.departments import create_department
from models.kernel.db import Base
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session, tenant_session
from tasks.imaging import sources
from tasks.vitals import inbox
from tests.api.helpers import make_user
from tests.imaging.dicoms import ct
from tests.instruments.world import World, end_back_off, run_sql
from tests.upkeep.helpers import use_mailbox
from tests.vitals.conftest import Clinic, forget
from tests.vitals.days import Wrist
from tests.vitals.files import Drop, reading

pytestmark = [pytest.mark.flow, pytest.mark.rerun, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
ORDER = (
    *("submit-assignments", "retry-submissions", "poll-results", "check-instruments", "stale-assignments"),
    *("ingest-vitals-files", "watch-devices", "check-vitals-day", "clean-archive", "prepare-partitions"),
    *("upload-study", "complete-uploads", "scrub-storage"),
    *("escalate-alerts", "deliver-messages", "report-failures", "clean-up", "seal-audit"),
)
CHOSEN_BY_A_PERSON = {"replay", "check-stand-up", "move-objects"}
"""A replay is asked for by delivery and sends it again on purpose; the second does nothing; a move needs two places."""
ADDS_EACH_TIME = {"check-instruments": {"equipment", "equipment_check"}}
"""Each look at an instrument is a row of its uptime history, and the time of the last one is shown."""


def deployed() -> dict[str, Callable[..., Any]]:
    """Every flow that runs by itself, by its name, those of ORDER first."""
    found = {}
    for entry in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        module, _, name = entry["entrypoint"].rpartition(".")
        if entry["name"] not in CHOSEN_BY_A_PERSON:
            found[entry["name"]] = getattr(import_module(module), name)
    return {name: found[name] for name in sorted(found, key=[*ORDER, *sorted(found)].index)}


def everything(*but: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    assert AREAS
    names = [table.name for table in Base.metadata.sorted_tables if table.name not in but]
    with owner_session() as session:
        return {name: sorted(session.scalars(text(f"SELECT CAST(x AS text) FROM {name} x"))) for name in names}


def give_work(world: World) -> None:
    """Orders that go well, one held, one to be sent again, one nobody sends for a day; a dead letter, an old key.

    And an alert whose patient did not answer in time.
    """
    lab = world.lab
    with tenant_session(lab.tenant_id) as session:
        given = DepartmentInput(name="Haematology", email="haematology@lab.example")
        department = create_department(session, lab.tenant_id, lab.actor("admin"), given).id
    _, _, held, again = world.order(4)
    world.one.faults.set("wrong_patient", request_id=f"REQ-{held}")
    world.one.faults.set("server_error", request_id=f"REQ-{again}", times=1)
    (late,) = world.order(equipment_id=lab.equipment_id)
    run_sql(
        f"UPDATE equipment SET status = 'inactive' WHERE id = {lab.equipment_id}",
        f"UPDATE assignment SET department_id = {department}, ordered_at = now() - interval '30 hours' "
        f"WHERE id = {late}",
        "INSERT INTO idempotency_key (tenant_id, scope, key, content_sha256, created_at) "
        f"VALUES ({lab.tenant_id}, 'orders', 'old', 'x', now() - interval '400 days')",
        "WITH e AS (INSERT INTO outbox_event (tenant_id, type, entity, payload) "
        f"VALUES ({lab.tenant_id}, 'it.happened', 'x:1', '{{}}') RETURNING tenant_id, id) "
        "INSERT INTO delivery (tenant_id, event_id, destination, entity, state) "
        "SELECT tenant_id, id, 'webhook:1', 'x:1', 'dead' FROM e",
        "INSERT INTO alert_contact (tenant_id, role, name, address) "
        f"VALUES ({lab.tenant_id}, 'doctor', 'Dr Ade', 'doctor@lab.example')",
        "INSERT INTO alert (tenant_id, patient_id, kind, level, value, unit, opened_at, seen_at, next_step_at) "
        f"SELECT {lab.tenant_id}, min(id), 'heart_rate_high', 'critical', 150, '/min', now(), now(), now() "
        f"FROM patient WHERE tenant_id = {lab.tenant_id}",
    )


def give_vitals(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that fell silent and whose day was bad, a file of its readings, an old archived one, an old count."""
    monkeypatch.setattr(inbox, "SETTLED_SECONDS", 0.0)
    monkeypatch.setenv("LABWIRE_IOT_INBOX_DIR", str(folder / "inbox"))
    settings.cache_clear()
    lab = world.lab
    forget()
    clinic = Clinic(lab.tenant_id)
    wrist = Wrist(clinic, lab.patient_id, clinic.device("DEV001", lab.patient_id, silence_minutes=30))
    wrist.put([1, 20], battery_level=9)
    drop = Drop(clinic, folder)
    drop.inbox.mkdir()
    drop.put("DEV001.json", reading(minutes=45), world.slug)
    old = folder / "archive" / world.slug / "2020-02-02"
    old.mkdir(parents=True)
    (old / "DEV001_20200202_020202.json").write_text("{}")
    run_sql(
        "INSERT INTO tenant_rate (tenant_id, connection, minute, readings) "
        f"VALUES ({lab.tenant_id}, {wrist.device_id}, now() - interval '2 days', 1)"
    )


def give_images(world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dropped study, an upload that came to a stop, and an object without an image."""
    monkeypatch.setattr(sources, "SETTLED_SECONDS", 0.0)
    monkeypatch.setenv("LABWIRE_RADIOLOGY_INBOX_DIR", str(folder / "radiology"))
    monkeypatch.setenv("LABWIRE_MEDIA_ROOT", str(folder / "media"))
    settings.cache_clear()
    dropped = folder / "radiology" / world.slug
    dropped.mkdir(parents=True)
    (dropped / "IMG1.dcm").write_bytes(ct(1))
    key = "radiology/1.2.3/1.2.3.1/1.2.3.1.1/a.dcm"
    orphan = folder / "media" / world.slug / key
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(ct(1, study_uid="1.2.3", series_uid="1.2.3.1"))
    os.utime(orphan, (1_700_000_000,) * 2)
    make_user(world.lab.tenant_id, "images@lab.example", "radiology_technician")
    columns = (
        "tenant_id, source, study_uid, series_uid, image_uid, filename, file_size, mime_type, checksum, touched_at"
    )
    run_sql(
        f"INSERT INTO image_upload ({columns}) VALUES ({world.lab.tenant_id}, 'sync', '1.2', '1.2.1', '1.2.1.1', 'a', "
        f"9, 'application/dicom', '{'0' * 64}', now() - interval '2 days')"
    )


async def test_every_flow_run_twice_leaves_the_same_rows_and_the_same_outside_calls(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Mailbox() as mailbox:
        use_mailbox(mailbox, monkeypatch, LABWIRE_AUDIT_HEAD_DIR=str(tmp_path / "heads"))
        give_work(world)
        give_vitals(world, tmp_path, monkeypatch)
        give_images(world, tmp_path, monkeypatch)
        for name, flow in deployed().items():
            if name == "retry-submissions":
                end_back_off()
            before = everything()
            await flow(return_state=True)
            once, calls, mails = everything(), len(world.one.journal.entries()), len(mailbox.messages)
            assert name not in ORDER or once != before, f"{name} had nothing to do"
            await flow(return_state=True)
            again, more = everything(), ADDS_EACH_TIME.get(name, set())
            assert {table for table in once if again[table] != once[table]} == more, name
            assert len(mailbox.messages) == mails, name
            assert more or len(world.one.journal.entries()) == calls, name
        assert mails == 5
