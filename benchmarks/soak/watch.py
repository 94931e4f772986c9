"""What every part uses, sampled: resident memory, file descriptors, threads, processes; and whether it grows."""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import MEGABYTE, below, children
from deployments.launcher.files import StateFolder
from deployments.launcher.process import members
from deployments.launcher.status import read_status

PERIOD_SECONDS = 10.0
WARM_UP_SECONDS = 120.0
"""Of each process's own life: imports, pools, caches and statement plans fill."""
LEAST_SAMPLES = 9
JUDGED = ("launcher", "postgres", "prefect", "api", "worker")
"""The simulated instruments keep every order in memory on purpose, and flow runs come and go."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one part used at one moment, its child processes included."""

    second: float
    pid: int
    memory: float
    """MB; a page shared by several processes is counted once."""
    descriptors: int
    threads: int
    processes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The growth that is let pass: a step, for caches that fill and the runs that happen to be on, and a slope."""

    name: str
    step: float
    per_hour: float
    of: Callable[[Use], float]


LIMITS = (
    Limit("memory MB", 12, 24, lambda use: use.memory),
    Limit("descriptors", 24, 8, lambda use: use.descriptors),
    Limit("threads", 8, 4, lambda use: use.threads),
)


class Watch:
    """Samples until told to stop, in a thread of its own."""

    def __init__(self, folder: StateFolder, *, period: float = PERIOD_SECONDS) -> None:
        self.samples: dict[str, list[Use]] = defaultdict(list)
        self._folder, self._period = folder, period
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_on, daemon=True)

    def begin(self) -> None:
        """Start sampling."""
        self._thread.start()

    def end(self) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def line(self) -> str:
        """Every part's latest figures."""
        last = {name: uses[-1] for name, uses in self.samples.items() if uses}
        return ", ".join(f"{name} {use.memory:.0f} MB" for name, use in last.items())

    def _sample_on(self) -> None:
        while not self._stop.is_set():
            self.sample()
            self._stop.wait(self._period)

    def sample(self) -> None:
        """One sample of every part, the launcher, and the flow runs' processes together."""
        status = read_status(self._folder)
        if status is None:
            return
        known = children()
        second = time.monotonic() - self._began
        pids = {part.name: part.pid for part in status.parts if part.pid} | {"launcher": status.pid}
        runs = set(members(status.session)) - set(pids.values())
        for name, pid in pids.items():
            tree = [pid, *below(pid, known)] if name not in ("launcher", "worker") else [pid]
            runs -= set(tree)
            self._keep(name, second, pid, tree)
        self._keep("runs", second, 0, runs)

    def _keep(self, name: str, second: float, pid: int, tree: Iterable[int]) -> None:
        found = [use for one in tree if (use := _use_of(one)) is not None]
        if found or name == "runs":
            memory, descriptors, threads = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0, 0)
            self.samples[name].append(Use(second, pid, memory, int(descriptors), int(threads), len(found)))


@dataclass(frozen=True, slots=True)
class Growth:
    """How one figure of one process moved over the longest time it lived after its warm-up."""

    part: str
    limit: Limit
    minutes: float
    first: float
    last: float
    growth: float
    """Fitted: the slope times the time."""
    is_long_enough: bool

    @property
    def allowed(self) -> float:
        return self.limit.step + self.limit.per_hour * self.minutes / 60

    @property
    def held(self) -> bool:
        return not self.is_long_enough or self.growth <= self.allowed


def growths(samples: dict[str, list[Use]], *, warm_up: float = WARM_UP_SECONDS) -> list[Growth]:
    """The judged parts' growth; one that never lived long enough says so and is not judged."""
    found = []
    for part, uses in samples.items():
        if part.rpartition("-")[0] in JUDGED or part in JUDGED:
            longest = max(_lives(uses, warm_up), key=len, default=[])
            found += [_growth(part, limit, longest) for limit in LIMITS]
    return found


def _lives(uses: list[Use], warm_up: float) -> list[list[Use]]:
    """The samples of each process of a part, without those of its warm-up."""
    lives: dict[int, list[Use]] = defaultdict(list)
    for use in uses:
        lives[use.pid].append(use)
    return [[use for use in life if use.second - life[0].second >= warm_up] for life in lives.values()]


def _growth(part: str, limit: Limit, life: list[Use]) -> Growth:
    if len(life) < LEAST_SAMPLES:
        return Growth(part, limit, 0, 0, 0, 0, is_long_enough=False)
    seconds, values = [use.second for use in life], [limit.of(use) for use in life]
    lasting = seconds[-1] - seconds[0]
    slope = statistics.linear_regression(seconds, values).slope
    ends = statistics.mean(values[:3]), statistics.mean(values[-3:])
    return Growth(part, limit, lasting / 60, *ends, slope * lasting, is_long_enough=True)


def _use_of(pid: int) -> tuple[float, int, int] | None:
    """Memory, descriptors and threads of one process; None when it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        rollup = (folder / "smaps_rollup").read_text()
        memory = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return memory * 1024 / MEGABYTE, len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))
    except (OSError, StopIteration):
        return None
