"""check-instruments: status, queue length and calibration of every instrument, and their history."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.tables import Equipment, EquipmentCheck
from models.kernel.tables import AuditEvent
from models.kernel.tenancy import tenant_session
from tasks.instruments import checks
from tasks.instruments.report import Report, identity
from tests.instruments.world import SETTINGS, World, run_sql, submit

pytestmark = pytest.mark.contract


async def check(tenant: str = "", instrument_id: int | None = None) -> Report:
    return await checks.check_all(checks.find(tenant, instrument_id), identity("check-instruments"))


def rows(world: World, table: Any) -> list[Any]:
    with tenant_session(world.lab.tenant_id) as session:
        return list(session.scalars(select(table).order_by(table.id)))


def equipment(world: World, equipment_id: int | None = None) -> Equipment:
    wanted = equipment_id or world.equipment_id
    with tenant_session(world.lab.tenant_id) as session:
        return session.get_one(Equipment, (world.lab.tenant_id, wanted))


async def only_ours(world: World) -> None:
    """The helper's own instrument leads nowhere."""
    run_sql(f"UPDATE equipment SET status = 'inactive' WHERE id = {world.lab.equipment_id}")


async def test_status_queue_length_and_calibration_are_kept(world: World) -> None:
    await only_ours(world)
    world.one.faults.set("stuck", "queued", operation="queue")
    world.order(3)
    await submit()
    report = await check()
    one, (history,) = equipment(world), rows(world, EquipmentCheck)
    assert (one.is_online, one.queue_length, one.last_calibration_at) == (
        True,
        3,
        datetime(2025, 11, 10, 8, tzinfo=UTC),
    )
    assert one.checked_at == history.checked_at
    assert (history.status, history.is_online, history.queue_length) == ("online", True, 3)
    assert 0 <= history.latency_milliseconds < 2000
    assert report.tally.message == "online 1"


async def test_each_run_adds_one_look_and_audits_only_changes(world: World) -> None:
    await only_ours(world)
    await check()
    await check()
    world.one.faults.set("refuse_connections")
    await check()
    await check()
    world.one.faults.clear()
    await check()
    assert [one.is_online for one in rows(world, EquipmentCheck)] == [True, True, False, False, True]
    audited = [row.action for row in rows(world, AuditEvent) if row.action.startswith("equipment.o")]
    assert audited == ["equipment.online", "equipment.offline", "equipment.online"]
    assert equipment(world).last_calibration_at is not None  # what was known stays known


@pytest.mark.parametrize(
    ("fault", "value", "status"),
    [
        ("refuse_connections", None, "unreachable"),
        ("timeout_before_accepting", None, "unreachable"),
        ("server_error", 500, "unreachable"),
        ("status_word", "maintenance", "maintenance"),
        ("broken_json", None, "unreadable"),
    ],
)
async def test_whatever_is_wrong_is_offline_with_a_word_for_it(
    world: World, fault: str, value: Any, status: str
) -> None:
    await only_ours(world)
    world.one.faults.set(fault, value)
    report = await check()
    (history,) = rows(world, EquipmentCheck)
    assert (history.is_online, history.status) == (False, status)
    assert report.tally.problems == {f"not online: {status}": 1}


async def test_a_refused_key_is_seen(world: World) -> None:
    await only_ours(world)
    world.one.options.api_keys = ("another",)
    await check()
    assert rows(world, EquipmentCheck)[0].status == "key refused"


async def test_an_outage_of_one_does_not_delay_the_others(world: World) -> None:
    run_sql("UPDATE equipment SET status = 'inactive'")
    with SimulatedInstrument(**SETTINGS) as quick:
        with SimulatedInstrument(**SETTINGS) as silent:
            silent_id = world.connect(silent, timeout_seconds="60")  # its turn is the first
            quick_id = world.connect(quick)
            silent.faults.set("timeout_before_accepting")
            running = asyncio.create_task(check())
            while equipment(world, quick_id).checked_at is None:
                assert not running.done()
                await asyncio.sleep(0.05)
            assert equipment(world, silent_id).checked_at is None
        await running  # its connection is gone
    assert equipment(world, silent_id).is_online is False


async def test_inactive_instruments_and_those_without_an_endpoint_are_not_asked(world: World) -> None:
    run_sql("UPDATE equipment SET status = 'inactive'")
    assert (await check()).tally.message == "nothing to do"
    run_sql("UPDATE equipment SET status = 'active', api_endpoint = NULL")
    assert (await check()).tally.message == "nothing to do"
    assert world.one.journal.count() == 0


async def test_one_instrument_alone(world: World) -> None:
    await check(instrument_id=world.equipment_id)
    assert [one.equipment_id for one in rows(world, EquipmentCheck)] == [world.equipment_id]


async def test_a_check_does_not_make_an_open_edit_stale(world: World) -> None:
    before = equipment(world).version
    await check()
    assert equipment(world).version == before
