"""What one laboratory's instrument answers, or where it is said to be, ends no run for the others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from models.instruments.inputs import EntryInput, EquipmentInput
from models.instruments.schemas import InstrumentResult
from models.instruments.stores.equipment import create_equipment
from models.kernel.clock import as_utc
from models.kernel.errors import ConfigError, RetryableError, UnknownOutcomeError
from models.kernel.tenancy import tenant_session
from tasks.clients.contained import contained
from tasks.clients.retry_after import retry_after_seconds
from tasks.instruments import checks
from tasks.instruments.report import identity
from tests.instruments.world import World, poll, run_sql, submit

HEADERS = ["Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 1 Jan 999999999999999999999999999 0:0:0 GMT"]
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]


@contextmanager
def answering(body: bytes, retry_after: str = "") -> Iterator[str]:
    """A server that answers everything with these; its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(503 if retry_after else 200)
            self.send_header("content-length", str(len(body)))
            if retry_after:
                self.send_header("retry-after", retry_after)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def hostile(kind: str) -> Iterator[str]:
    if kind == "retry-after":
        with answering(b"{}", HEADERS[0]) as address:
            yield address
    elif kind == "calibration":
        with answering(b'{"id": "q-1", "status": "online", "lastCalibration": "%s"}' % TIMES[0].encode()) as address:
            yield address
    else:
        yield "https://①②⑦.⓪.⓪.①:1"


@pytest.mark.contract
@pytest.mark.parametrize("kind", ["retry-after", "calibration", "no such host"])
async def test_one_instrument_ends_no_run_for_the_others(world: World, kind: str) -> None:
    run_sql(f"UPDATE equipment SET status = 'inactive' WHERE id = {world.lab.equipment_id}")
    actor, tenant_id = world.lab.actor("admin"), world.lab.tenant_id
    with tenant_session(tenant_id) as session:
        given = {"name": "Hostile", "supports_auto_fetch": True, "timeout_seconds": "2"}
        other = create_equipment(session, tenant_id, actor, EquipmentInput.model_validate(given)).id
    with hostile(kind) as address:
        run_sql(f"UPDATE equipment SET api_endpoint = '{address}' WHERE id = {other}")
        ours, theirs = world.order(10), world.lab.order("LAB-HGB", count=2, equipment_id=other)
        await submit()
        assert set(world.states(ours)) == {"Q"}
        run_sql(f"UPDATE assignment SET status = 'Q', queue_id = id::text, next_poll_at = now() WHERE id = {theirs[0]}")
        await poll()
        assert set(world.states(ours)) == {"A"}
        report = await checks.check_all(checks.find("", None), identity("check-instruments"))
    assert report.tally.counts["online"] >= 1


@pytest.mark.unit
@pytest.mark.parametrize("header", HEADERS)
def test_a_wait_that_is_no_time_is_no_wait(header: str) -> None:
    assert retry_after_seconds(header) is None


@pytest.mark.unit
@pytest.mark.parametrize("moment", TIMES)
def test_times_beyond_the_calendar_are_refused_as_values(moment: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        as_utc(datetime.fromisoformat(moment))
    with pytest.raises(ValueError, match="calendar"):
        EntryInput.model_validate({"value": "1", "unit": "g/dL", "completed_at": moment})
    with pytest.raises(ValueError, match="time"):
        InstrumentResult.model_validate({"id": "1", "status": "completed", "completedAt": moment})


@pytest.mark.unit
def test_a_result_entered_by_hand_was_not_measured_in_antiquity() -> None:
    with pytest.raises(ValueError, match="1900"):
        EntryInput.model_validate({"value": "1", "unit": "g/dL", "completed_at": "0001-01-01T00:00:00Z"})


@pytest.mark.unit
@pytest.mark.parametrize("address", ["https://①②⑦.⓪.⓪.①:1", "https://bücher.example"])
def test_an_address_has_an_ascii_name(address: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        EquipmentInput.model_validate({"name": "x", "api_endpoint": address})


@pytest.mark.unit
@pytest.mark.parametrize("kind", [RetryableError, UnknownOutcomeError])
async def test_a_defect_in_reading_an_answer_is_an_error_of_ours_without_its_words(kind: type[Any]) -> None:
    @contained(kind, "instrument 7")
    async def read() -> None:
        raise OverflowError("PAT-001")

    with pytest.raises(kind, match="instrument 7") as found:
        await read()
    assert "PAT-001" not in str(found.value)
    assert "OverflowError" in str(found.value)

    @contained(kind, "instrument 7")
    async def refuse() -> None:
        raise ConfigError("as it is")

    with pytest.raises(ConfigError, match="as it is"):
        await refuse()

    @contained(kind, "instrument 7")
    async def wait() -> None:
        await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
