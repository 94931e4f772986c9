"""Twenty simulated instruments in a process of their own, and bare httpx loops against them."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

INSTRUMENTS = 20
LATENCY_MILLISECONDS = 50
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the instruments are, and the key they take."""

    urls: Sequence[str]
    key: str


@contextmanager
def fleet() -> Iterator[Fleet]:
    """The instruments while the block runs; a result is there as soon as it is asked for."""
    with tempfile.TemporaryDirectory(prefix="labwire-fleet-") as folder:
        ready = Path(folder, "fleet.json")
        line = [sys.executable, "-m", "deployments.simulators.instrument", "--instruments", str(INSTRUMENTS)]
        line += ["--fault", f"latency_ms={LATENCY_MILLISECONDS}", "--queue-seconds", "0", "--run-seconds", "0"]
        process = subprocess.Popen([*line, "--ready-file", str(ready)], stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the simulated instruments did not start")
                time.sleep(0.05)
            found = json.loads(ready.read_text())
            yield Fleet([one["url"] for one in found["instruments"]], found["api_keys"][0])
        finally:
            process.terminate()
            process.wait(10)


@dataclass(frozen=True, slots=True)
class Bare:
    """Seconds of a bare loop: sending, and asking for the results of what was sent."""

    submit_seconds: float
    poll_seconds: float


async def one_client_each(fleet: Fleet, requests: int, *, connections: int) -> Bare:
    """One client per instrument with so many connections; as many requests at once as there are connections."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    headers = {"X-API-Key": fleet.key}
    clients = [httpx.AsyncClient(base_url=url, limits=limits, headers=headers) for url in fleet.urls]
    try:
        return await _both(clients, [""] * len(clients), requests, workers=connections)
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def one_client(fleet: Fleet, requests: int, *, connections: int) -> Bare:
    """One client for all instruments with so many connections."""
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(limits=limits, headers={"X-API-Key": fleet.key}) as client:
        share = max(1, connections // len(fleet.urls))
        return await _both([client] * len(fleet.urls), fleet.urls, requests, workers=share, most=connections)


async def _both(
    clients: Sequence[httpx.AsyncClient], bases: Sequence[str], requests: int, *, workers: int, most: int | None = None
) -> Bare:
    queued: list[list[int]] = [[] for _ in clients]

    async def send(place: int, number: int) -> None:
        answer = await clients[place].post(f"{bases[place]}/api/queue", json=_payload(number))
        answer.raise_for_status()
        queued[place].append(answer.json()["id"])

    async def ask(place: int, number: int) -> None:
        answer = await clients[place].get(f"{bases[place]}/api/results/{number}")
        answer.raise_for_status()
        answer.json()

    orders = [[next(_numbers) for _ in range(place, requests, len(clients))] for place in range(len(clients))]
    submit_seconds = await _drive(send, orders, workers=workers, most=most)
    return Bare(submit_seconds, await _drive(ask, queued, workers=workers, most=most))


async def _drive(
    work: Callable[[int, int], Awaitable[None]], items: Sequence[Sequence[int]], *, workers: int, most: int | None
) -> float:
    """Seconds for all items, with so many workers per place, or `most` over all of them."""

    async def drain(queue: Iterator[tuple[int, int]]) -> None:
        for place, item in queue:
            await work(place, item)

    per_place = [iter([(place, item) for item in mine]) for place, mine in enumerate(items)]
    queues = [queue for queue in per_place for _ in range(workers)]
    if most is not None:
        together = iter([(place, item) for place, mine in enumerate(items) for item in mine])
        queues = [together] * most
    began = time.perf_counter()
    await asyncio.gather(*(drain(queue) for queue in queues))
    return time.perf_counter() - began


def _payload(number: int) -> dict[str, Any]:
    return {
        "id": 0,
        "patientId": "PAT-001",
        "testName": "CBC",
        "testCode": "LAB-CBC",
        "sampleId": f"SAMP-{number}",
        "requestId": f"BARE-{number}",
        "priority": "routine",
        "specimenType": "Blood",
        "metadata": {"assignmentId": number, "vendorId": 1, "departmentId": 3},
    }
