"""How soon a run starts and what it costs: our worker and the stock one, on one Prefect server, in one go."""

import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.results import Row
from tests.worker.running import Pool, Server

FLOWS = "tests.worker.samples.flows"
ONE_BY_ONE, AT_ONCE, MANY = 40, 20, 500
STOCK_ROUNDS = 8
IDLE_SECONDS = 20
TICK = os.sysconf("SC_CLK_TCK")
WARM = ("labwire-warm", {"PREFECT_WORKER_QUERY_SECONDS": "0.3", "PREFECT_WORKER_PREFETCH_SECONDS": "0"})
STOCK = ("process", {"PREFECT_WORKER_QUERY_SECONDS": "10", "PREFECT_WORKER_PREFETCH_SECONDS": "10"})
STOCK_QUICK = ("process", {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "10"})


@dataclass(frozen=True)
class Figures:
    """Seconds from the creation of a run to Running (one by one), and CPU seconds of worker and run for each."""

    starts: list[float]
    cpu_seconds: float

    @property
    def median(self) -> float:
        return statistics.median(self.starts)


def measure() -> list[Row]:
    """Rows: start one by one and at once, with Great Expectations, CPU, endurance, cost of the polls."""
    with tempfile.TemporaryDirectory(prefix="labwire-bench-worker-") as folder:
        server = Server(Path(folder))
        server.start()
        try:
            return _measure(server)
        finally:
            server.stop()


def _measure(server: Server) -> list[Row]:
    quiet = _server_cpu(server, IDLE_SECONDS)
    with _pool(server, "stock", *STOCK) as pool:
        stock = _one_by_one(pool, STOCK_ROUNDS // 2)
        _say("stock, default poll", stock)
    with _pool(server, "quick", *STOCK_QUICK) as pool:
        quick = _one_by_one(pool, STOCK_ROUNDS)
        _say("stock, one-second poll", quick)
        quick_checks = _to_the_end(pool, STOCK_ROUNDS // 2)
        print(f"stock, one-second poll, with Great Expectations: {quick_checks:.2f} s to its end", flush=True)
    with _pool(server, "warm", *WARM) as pool:
        polled = _server_cpu(server, IDLE_SECONDS)
        _one_by_one(pool, 3)
        warm = _one_by_one(pool, ONE_BY_ONE)
        _say("ours", warm)
        at_once = _starts(pool, [pool.start(f"{FLOWS}.empty") for _ in range(AT_ONCE)])
        print(f"ours, {AT_ONCE} at once: p95 {_p95(at_once):.2f} s", flush=True)
        _to_the_end(pool, 1, preload="great_expectations")
        checks = _to_the_end(pool, STOCK_ROUNDS, preload="great_expectations")
        print(f"ours, with Great Expectations: {checks:.2f} s to its end", flush=True)
        endurance = _endure(pool)
    return [
        Row("worker: create to Running, median", warm.median, "s", "the promise", 0.6, "<= 1.0"),
        Row("worker: create to Running, p95", _p95(warm.starts), "s", "the promise", 1.2, "<= 1.0"),
        Row(f"worker: create to Running, {AT_ONCE} at once, p95", _p95(at_once), "s", "the promise", 3.0, "<= 1.0"),
        Row(
            "worker: create to Running against stock", warm.median, "s", "stock, default poll", stock.median, "<= 0.17"
        ),
        Row(
            "worker: create to Running against quick stock",
            warm.median,
            "s",
            "stock, 1 s poll",
            quick.median,
            "<= 0.166",
        ),
        Row("worker: with Great Expectations, to the end", checks, "s", "stock, 1 s poll", quick_checks, "<= 0.083"),
        Row("worker: CPU of an empty run", warm.cpu_seconds, "s", "stock, 1 s poll", quick.cpu_seconds, "<= 0.15"),
        Row("worker: server CPU for our polls", polled - quiet, "s/s", "one core", 1.0, "<= 0.1"),
        *endurance,
    ]


def _one_by_one(pool: Pool, number: int) -> Figures:
    """Runs of an empty flow, each created at another moment of the poll."""
    dice = random.Random(7)  # the same moments each time
    before, began, runs = _cpu(pool), time.monotonic(), []
    for _ in range(number):
        time.sleep(dice.uniform(0, 1))
        runs.append(pool.start(f"{FLOWS}.empty"))
        _complete(pool, runs[-1:])
    seconds = time.monotonic() - began
    cpu = _cpu(pool) - before
    time.sleep(2)
    before = _cpu(pool)
    time.sleep(10)
    idle = (_cpu(pool) - before) / 10 * seconds
    return Figures(_starts(pool, runs), max(cpu - idle, 0.0) / number)


def _to_the_end(pool: Pool, number: int, preload: str = "") -> float:
    """Median seconds from the creation of a run that needs Great Expectations to its end."""
    variables = {"job_variables": {"preload": preload}} if preload else {}
    runs = []
    for _ in range(number):
        runs.append(pool.start(f"{FLOWS}.checks", **variables))
        _complete(pool, runs[-1:])
    found = [pool.run(run_id) for run_id in runs]
    return statistics.median(_moment(run["end_time"]) - _moment(run["created"]) for run in found)


def _endure(pool: Pool) -> list[Row]:
    """Five hundred runs, twenty at a time: none lost, nothing leaked, no locked database."""
    before = _leftovers(pool)
    began, waiting, done = time.monotonic(), set[str](), 0
    for number in range(MANY):
        waiting.add(pool.start(f"{FLOWS}.empty"))
        while len(waiting) >= AT_ONCE or (number == MANY - 1 and waiting):
            ended = {run_id for run_id in waiting if pool.run(run_id)["state_type"] == "COMPLETED"}
            done += len(ended)
            waiting -= ended
            time.sleep(0.1)
            if time.monotonic() - began > MANY:
                break
    seconds = time.monotonic() - began
    time.sleep(8)
    after = _leftovers(pool)
    locked = (pool.server.folder / "logs" / "prefect.log").read_text().count("database is locked")
    print(f"{MANY} runs, {AT_ONCE} at a time: {seconds:.0f} s; before {before}, after {after}", flush=True)
    return [
        Row(f"worker: {MANY} runs, not completed", MANY - done, "runs", "all", MANY, "<= 0"),
        Row(f"worker: {MANY} runs, locked database", locked, "errors", "runs", MANY, "<= 0"),
        Row(f"worker: {MANY} runs, memory", after[0], "MB", "before", before[0], "<= 1.15"),
        Row(f"worker: {MANY} runs, descriptors", after[1], "", "before", before[1], "<= 1.1"),
        Row(f"worker: {MANY} runs, processes", after[2], "", "before", before[2], "<= 1.0"),
    ]


def _complete(pool: Pool, runs: Sequence[str]) -> None:
    for run_id in runs:
        state, message = pool.finished(run_id, 120, pause=0.25)
        if state != "COMPLETED":
            raise RuntimeError(f"{pool.kind}: a run ended as {state}: {message}")


def _starts(pool: Pool, runs: Sequence[str]) -> list[float]:
    """Seconds from each run's creation to Running, by the server's clock."""
    _complete(pool, runs)
    return [_moment(run["start_time"]) - _moment(run["created"]) for run in map(pool.run, runs)]


@contextmanager
def _pool(server: Server, name: str, kind: str, settings: dict[str, str]) -> Iterator[Pool]:
    pool = Pool(server, kind, name, settings)
    pool.start_worker()
    try:
        yield pool
    finally:
        pool.stop_worker()


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    found, parents = [pid], {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents[int(entry.name)] = int(fields[1])
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu(pool: Pool) -> float:
    """CPU seconds of the worker, its living descendants, and those it has reaped (proc(5): utime to cstime)."""
    assert pool.process is not None
    return sum(sum(map(int, fields[11:15])) for pid in _tree(pool.process.pid) if (fields := _stat(pid))) / TICK


def _server_cpu(server: Server, seconds: float) -> float:
    """CPU seconds a second of the Prefect server, over so many seconds."""
    assert server.process is not None
    before = sum(map(int, _stat(server.process.pid)[11:13]))
    time.sleep(seconds)
    return (sum(map(int, _stat(server.process.pid)[11:13])) - before) / TICK / seconds


def _leftovers(pool: Pool) -> tuple[float, int, int]:
    """Megabytes, descriptors and processes of the worker and all below it."""
    assert pool.process is not None
    tree = _tree(pool.process.pid)
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in tree)
    descriptors = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in tree)
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1), descriptors, len(tree)


def _p95(found: Sequence[float]) -> float:
    ordered = sorted(found)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _say(name: str, figures: Figures) -> None:
    spread = f"median {figures.median:.2f} s, p95 {_p95(figures.starts):.2f} s"
    print(f"{name}: {spread}, CPU {figures.cpu_seconds:.2f} s a run", flush=True)
