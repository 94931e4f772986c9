"""Submitting to and polling from twenty instruments, against the best bare httpx loop of the same run."""

import asyncio
import gc
import statistics
import time
from collections.abc import Sequence

from benchmarks.database import fresh_database
from benchmarks.fleet import Bare, Fleet, fleet, one_client, one_client_each
from benchmarks.laboratory import Laboratory, make_laboratory
from benchmarks.results import Row

FEW, MANY = 1_000, 20_000
ROUNDS = 5
WARM_UP = 200


def measure() -> list[Row]:
    """Rows for submit and poll: 1,000 against bare httpx, and 20,000 against 1,000."""
    with fleet() as instruments, fresh_database() as version:
        print(f"{len(instruments.urls)} simulated instruments, {version}")
        laboratory = make_laboratory(instruments)
        return asyncio.run(_measure(instruments, laboratory))


async def _measure(instruments: Fleet, laboratory: Laboratory) -> list[Row]:
    await _ours(laboratory, WARM_UP, round_number=0)
    bare: dict[str, list[Bare]] = {}
    ours: list[Bare] = []
    bare["one client with 16 connections"] = [await one_client(instruments, FEW, connections=16)]
    for number in range(1, ROUNDS + 1):
        for connections in (4, 8):
            name = f"one client each with {connections} connections"
            bare.setdefault(name, []).append(await one_client_each(instruments, FEW, connections=connections))
        ours.append(await _ours(laboratory, FEW, round_number=number))
        loops = ", ".join(_pair(found[-1]) for found in bare.values())
        print(f"round {number}: bare {loops}; ours {_pair(ours[-1])}", flush=True)
    few = Bare(*_medians(ours))
    many = await _ours(laboratory, MANY, round_number=ROUNDS + 1)
    rows = []
    for step, column in (("submit", 0), ("poll", 1)):
        name, limit = min(((name, _medians(found)[column]) for name, found in bare.items()), key=lambda one: one[1])
        mine = _medians(ours)[column]
        rows.append(Row(f"instruments: {step} {FEW:,}", mine, "s", f"bare httpx, {name}", limit, "<= 2.0"))
        each, each_of_many = _of(few, column) / FEW, _of(many, column) / MANY
        rows.append(
            Row(
                f"instruments: {step} {MANY:,}, per assignment",
                each_of_many * 1000,
                "ms",
                f"per assignment at {FEW:,}",
                each * 1000,
                "<= 1.2",
            )
        )
    return rows


async def _ours(laboratory: Laboratory, number: int, *, round_number: int) -> Bare:
    """Seconds of the whole of submit-assignments and of poll-results but for Prefect's own share."""
    from models.instruments.stores.polls import WhichPolls
    from models.instruments.stores.submissions import Which
    from models.kernel.clock import utc_now
    from tasks.instruments import polls, submissions
    from tasks.instruments.report import identity

    done = laboratory.count("A")
    laboratory.order(number, round_number=round_number)
    gc.collect()
    began = time.perf_counter()
    who = identity("submit-assignments")
    submissions.settle_all("", who)
    sent = await submissions.send_due(submissions.find_due("", Which()), who)
    submit_seconds = time.perf_counter() - began
    if sent.tally.message != f"queued {number}":
        raise RuntimeError(f"submit: {sent.tally.message}")
    gc.collect()
    began = time.perf_counter()
    who = identity("poll-results")
    report = polls.complete_waiting("", who)
    report.merge(await polls.fetch_due(polls.find_due("", WhichPolls(utc_now())), who))
    poll_seconds = time.perf_counter() - began
    if report.tally.message != f"completed {number}" or laboratory.count("A") != done + number:
        raise RuntimeError(f"poll: {report.tally.message}")
    return Bare(submit_seconds, poll_seconds)


def _medians(found: Sequence[Bare]) -> tuple[float, float]:
    return (
        statistics.median(one.submit_seconds for one in found),
        statistics.median(one.poll_seconds for one in found),
    )


def _of(found: Bare, column: int) -> float:
    return (found.submit_seconds, found.poll_seconds)[column]


def _pair(found: Bare) -> str:
    return f"{found.submit_seconds:.2f}/{found.poll_seconds:.2f}"
