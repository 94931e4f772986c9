"""The adapter for the documented interface against the simulated analyser: every fault has its class of error."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.simulators.instrument import SimulatedInstrument
from models.instruments.ports import Instrument, QueueRequest, UnreadableAnswerError
from models.instruments.result_rules import Violation
from models.instruments.schemas import InstrumentResult
from models.kernel.errors import (
    ConfigError,
    LabwireError,
    RefusedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from tasks.clients.instrument import Address, HttpInstrument

pytestmark = pytest.mark.contract

PAYLOAD: dict[str, Any] = {
    "id": 0,
    "patientId": "PAT-001",
    "testName": "CBC",
    "testCode": "LAB-CBC",
    "sampleId": "SAMP-123",
    "requestId": "REQ-456",
    "priority": "routine",
    "specimenType": "Blood",
    "metadata": {"assignmentId": 789, "vendorId": 1, "departmentId": 3},
}
SECRET = "SAMP-123"


def request(key: str = "labwire-1-REQ-456", **changes: Any) -> QueueRequest:
    return QueueRequest(json.dumps(PAYLOAD | changes).encode(), key)


@pytest.fixture
async def client(simulator: SimulatedInstrument) -> AsyncIterator[HttpInstrument]:
    address = Address("instrument 12", simulator.url, "X-API-Key", [simulator.api_key], 10)
    async with HttpInstrument(address) as made:
        yield made


async def test_it_fulfils_the_port(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    instrument: Instrument = client
    queued = await instrument.queue(request())
    assert (queued.queue_id, queued.position) == (str(simulator.entries[0].id), 1)
    fetched = await instrument.result(queued.queue_id)
    assert fetched is not None
    assert isinstance(fetched.result, InstrumentResult)
    assert (fetched.state, fetched.result.status, fetched.result.value) == ("finished", "completed", "12.5")
    assert fetched.body.startswith(b'{"id":')
    status = await instrument.status()
    assert (status.status, status.queue_length) == ("online", 0)
    assert status.last_calibration_at == datetime(2025, 11, 10, 8, tzinfo=UTC)


async def test_the_same_key_again_is_the_same_entry(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    assert (await client.queue(request())).queue_id == (await client.queue(request())).queue_id
    assert len(simulator.entries) == 1
    with pytest.raises(RefusedError, match="409"):
        await client.queue(request(sampleId="SAMP-999"))


SLOW = ("timeout_before_accepting", "timeout_after_accepting", "slow_body")


@pytest.mark.parametrize(
    ("fault", "value", "of_post", "of_get"),
    [
        ("refuse_connections", None, UnavailableError, UnavailableError),
        ("timeout_before_accepting", None, UnknownOutcomeError, RetryableError),
        ("timeout_before_accepting", 0.05, UnknownOutcomeError, RetryableError),  # a gateway's 504
        ("timeout_after_accepting", None, UnknownOutcomeError, None),
        ("server_error", 500, RetryableError, RetryableError),
        ("server_error", 502, UnknownOutcomeError, RetryableError),
        ("server_error", 504, UnknownOutcomeError, RetryableError),
        ("server_error", 507, RetryableError, RetryableError),
        ("rate_limited", 7, RetryableError, RetryableError),
        ("unavailable", 7, RetryableError, RetryableError),
        ("slow_body", 3, UnknownOutcomeError, RetryableError),
        ("broken_json", None, UnreadableAnswerError, None),
    ],
)
async def test_every_fault_has_its_class(
    simulator: SimulatedInstrument,
    fault: str,
    value: float | None,
    of_post: type[LabwireError],
    of_get: type[LabwireError] | None,
) -> None:
    seconds = 0.2 if fault in SLOW else 10
    address = Address("instrument 12", simulator.url, "X-API-Key", [simulator.api_key], seconds)
    async with HttpInstrument(replace(address, timeout_seconds=10)) as client:
        queued = await client.queue(request("first"))
    simulator.faults.set(fault, value)
    async with HttpInstrument(address) as client:
        with pytest.raises(of_post) as refused:
            await client.queue(request())
        assert type(refused.value) is of_post
        assert SECRET not in str(refused.value)
        assert refused.value.__cause__ is None
    if of_get is not None:
        async with HttpInstrument(address) as client:
            with pytest.raises(of_get) as failed:
                await client.result(queued.queue_id)
            assert type(failed.value) is of_get
    simulator.faults.clear()


async def test_retry_after_comes_along(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    simulator.faults.set("rate_limited", 7, times=1)
    with pytest.raises(RetryableError) as failed:
        await client.queue(request())
    assert failed.value.retry_after_seconds == 7
    with pytest.raises(UnavailableError) as paused:  # and nothing is sent meanwhile
        await client.status()
    assert 6 < (paused.value.retry_after_seconds or 0) <= 7
    assert simulator.journal.count() == 1


@pytest.mark.parametrize(
    ("changes", "status"), [({"testCode": "NO-SUCH"}, 422), ({"id": 1}, 400), ({"priority": "soon"}, 400)]
)
async def test_a_wrong_payload_is_refused(client: HttpInstrument, changes: dict[str, Any], status: int) -> None:
    with pytest.raises(RefusedError, match=str(status)):
        await client.queue(request(**changes))


async def test_keys_are_tried_newest_first_and_the_good_one_is_remembered(simulator: SimulatedInstrument) -> None:
    address = Address("instrument 12", simulator.url, "X-API-Key", ["newest", simulator.api_key], 1)
    async with HttpInstrument(address) as client:
        await client.queue(request())
        await client.queue(request("another"))
    assert [entry.status for entry in simulator.journal.entries()] == [401, 200, 200]


async def test_no_key_that_is_accepted_is_a_matter_of_settings(simulator: SimulatedInstrument) -> None:
    for keys in ([], ["wrong"], ["wrong", "as wrong"]):
        async with HttpInstrument(Address("instrument 12", simulator.url, "X-API-Key", keys, 1)) as client:
            with pytest.raises(ConfigError, match="instrument 12: answered 401"):
                await client.queue(request())


@pytest.mark.parametrize("key", ["line\nbreak", "ключ", "nul\x00"])
async def test_a_key_that_no_header_can_hold_is_not_repeated(simulator: SimulatedInstrument, key: str) -> None:
    async with HttpInstrument(Address("instrument 12", simulator.url, "X-API-Key", [key], 1)) as client:
        with pytest.raises(ConfigError) as refused:
            await client.status()
    assert key not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_forgotten_result_is_none(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    queued = await client.queue(request())
    simulator.advance_hours(25)
    assert await client.result(queued.queue_id) is None


async def test_an_odd_queue_id_stays_inside_its_path(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    with pytest.raises(RefusedError, match="400"):
        await client.result("../status?x=1#y")
    assert simulator.journal.entries()[-1].path.startswith("/api/results/")


@pytest.mark.parametrize("state", ["queued", "running"])
async def test_an_unfinished_result_says_so(client: HttpInstrument, simulator: SimulatedInstrument, state: str) -> None:
    simulator.faults.set("stuck", state)
    queued = await client.queue(request())
    fetched = await client.result(queued.queue_id)
    assert fetched is not None
    assert fetched.state == state


@pytest.mark.parametrize("fault", ["broken_json", "oversize_body", "unknown_status"])
async def test_an_unreadable_result_is_finished_and_its_text_kept(
    client: HttpInstrument, simulator: SimulatedInstrument, fault: str
) -> None:
    queued = await client.queue(request())
    simulator.faults.set(fault)
    fetched = await client.result(queued.queue_id)
    assert fetched is not None
    assert isinstance(fetched.result, Violation)
    assert fetched.state == "finished"
    assert fetched.body.startswith(b'{"id":')
    assert len(fetched.body) <= 256_000


@pytest.mark.parametrize("word", ["maintenance", "", "x" * 60, 7])
async def test_a_status_is_a_short_word_or_unreadable(
    client: HttpInstrument, simulator: SimulatedInstrument, word: Any
) -> None:
    simulator.faults.set("status_word", word if isinstance(word, str) else str(word))
    status = await client.status()
    assert status.status == (word if word == "maintenance" else "7" if word == 7 else "unreadable")


async def test_three_failures_in_a_row_open_the_breaker(client: HttpInstrument, simulator: SimulatedInstrument) -> None:
    simulator.faults.set("server_error")
    for _ in range(3):
        with pytest.raises(RetryableError):
            await client.status()
    with pytest.raises(UnavailableError, match="left alone"):
        await client.status()
    assert simulator.journal.count() == 3


async def test_no_more_connections_than_it_was_given(simulator: SimulatedInstrument) -> None:
    simulator.faults.set("latency_ms", 30)
    address = Address("instrument 12", simulator.url, "X-API-Key", [simulator.api_key], 5)
    async with HttpInstrument(address, connections=2) as client:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.queue(request(f"key {number}")) for number in range(10)))
        assert asyncio.get_running_loop().time() - began >= 5 * 0.03
