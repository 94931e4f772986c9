"""The thread that lets devices in: one at fault does not hurt the others of its group."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api.vitals import writer
from api.vitals.writer import DoorWriter
from models.kernel.tenancy import tenant_session
from models.vitals.readings import parse
from models.vitals.stores.admission import Outcome, Request, admit
from tests.vitals.conftest import Clinic

pytestmark = pytest.mark.store


def request(key_id: int, device_id: int, number: int) -> Request:
    at = datetime.now(UTC) - timedelta(seconds=number)
    reading = parse({"timestamp": at.isoformat(), "heart_rate": 60 + number % 40}, zone=None)
    return Request(key_id, device_id, "vitals", datetime.now(UTC), None, (reading,))


def key_of(clinic: Clinic, device_id: int) -> int:
    clinic.key(device_id)
    [row] = clinic.rows("SELECT max(id) AS id FROM device_key WHERE device_id = :d", d=device_id)
    return int(row.id)


def test_a_request_at_fault_fails_alone(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = (clinic.device(code, clinic.patient(f"P-{code}")) for code in ("GOOD", "BAD"))
    keys = {device_id: key_of(clinic, device_id) for device_id in (good, bad)}
    groups = []

    def fails_for_one(pipeline: Any, tenant_id: int, requests: Sequence[Request]) -> Any:
        groups.append(len(requests))
        found = admit(pipeline, tenant_id, requests)
        if any(one.device_id == bad for one in requests):
            raise ValueError
        return found

    monkeypatch.setattr(writer, "admit", fails_for_one)

    async def ask() -> list[Outcome | BaseException]:
        door = DoorWriter(lambda tenant_id, rates: None)
        asked = [request(keys[good], good, number) for number in range(5)] + [request(keys[bad], bad, 9)]
        waiting = [door.admit(clinic.tenant_id, one) for one in asked]
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcomes = asyncio.run(ask())
    assert [getattr(outcome, "status", None) for outcome in outcomes] == [200] * 5 + [None]
    assert isinstance(outcomes[-1], ValueError)
    assert len(clinic.rows("SELECT 1 FROM vital_sign")) == 5


def test_what_waits_is_one_group_of_one_transaction(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    device_id = clinic.device("DEV001", clinic.patient())
    key_id = key_of(clinic, device_id)
    groups = []
    commit = writer.commit

    def counted(asked: Any, heard: Any, line: Any) -> Any:
        groups.append(len(asked))
        return commit(asked, heard, line)

    monkeypatch.setattr(writer, "commit", counted)

    async def ask() -> list[Outcome]:
        door = DoorWriter(lambda tenant_id, rates: None)
        return await asyncio.gather(*(door.admit(clinic.tenant_id, request(key_id, device_id, n)) for n in range(60)))

    outcomes = asyncio.run(ask())
    assert len({outcome.stored[0].vital_sign_id for outcome in outcomes if outcome.stored[0]}) == 60
    assert sum(groups) == 60
    assert len(groups) <= 4


def test_a_connection_that_the_server_cut_costs_nobody_an_answer(clinic: Clinic) -> None:
    device_id = clinic.device("DEV001", clinic.patient())
    key_id = key_of(clinic, device_id)

    async def ask() -> list[Outcome]:
        door = DoorWriter(lambda tenant_id, rates: None)
        first = await door.admit(clinic.tenant_id, request(key_id, device_id, 1))
        others = "usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()"
        with tenant_session(clinic.tenant_id) as session:
            cut = session.scalars(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
            assert any(cut)
        return [first, await door.admit(clinic.tenant_id, request(key_id, device_id, 2))]

    assert [outcome.status for outcome in asyncio.run(ask())] == [200, 200]
    assert len(clinic.rows("SELECT 1 FROM vital_sign")) == 2


def test_tenants_of_one_group_do_not_meet(clinic: Clinic) -> None:
    from tests.factories import make_tenant

    other = Clinic(make_tenant("other"))
    asked = []
    for place in (clinic, other):
        device_id = place.device("DEV001", place.patient())
        asked.append((place.tenant_id, request(key_of(place, device_id), device_id, 1)))
    outcomes = writer.commit(asked, lambda tenant_id, rates: None)
    assert [outcome.status for outcome in outcomes] == [200, 200]
    for tenant_id in (clinic.tenant_id, other.tenant_id):
        with tenant_session(tenant_id) as session:
            assert session.execute(text("SELECT tenant_id FROM vital_sign")).scalars().all() == [tenant_id]
    stranger = asked[0][1]
    [outcome] = writer.commit([(other.tenant_id, stranger)], lambda tenant_id, rates: None)
    assert outcome.status == 401
