"""What is done to the hub meanwhile: instruments that fail in turn, and parts killed with SIGKILL."""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from deployments.demo.actors import Analysers
from deployments.demo.scenario import Hub
from deployments.launcher.files import StateFolder
from deployments.launcher.process import is_alive, members
from deployments.launcher.status import Status, present, read_status
from deployments.worker.engine import LOG_NAME as RUNS

INSTRUMENTS = 3
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("latency_ms", {"value": 2000}),
    ("server_error", {"value": 500}),
    ("refuse_connections", {}),
    ("timeout_after_accepting", {"operation": "queue", "times": 2}),
    ("unavailable", {"value": 2}),
    ("timeout_before_accepting", {"value": 3, "operation": "results"}),
    ("broken_json", {"operation": "results", "times": 3}),
)
FAULT_SECONDS = 12.0
QUIET_SECONDS = 6.0
PARTS = ("worker", "api", "prefect", "postgres", RUNS)
"""Killed in turn; the last is the process of a flow run."""
BACK_SECONDS = 180


@dataclass
class Trouble:
    """Makes trouble in threads of its own until told to stop; everything it did is counted."""

    hub: Hub
    folder: StateFolder
    tell: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    not_back: list[str] = field(default_factory=list)
    """Parts that were not ready again in time."""
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, *, kill_every: float, kills: int) -> None:
        """Faults until the end, and so many kills, this many seconds apart."""
        for target, arguments in ((self._faults, ()), (self._kills, (kill_every, kills))):
            thread = threading.Thread(target=target, args=arguments, daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Stop, with every fault turned off."""
        self.stop.set()
        for thread in self._threads:
            thread.join()
        analysers = Analysers(self.hub)
        for number in range(INSTRUMENTS):
            analysers.clear(number)

    def _faults(self) -> None:
        analysers = Analysers(self.hub)
        for name, limits in itertools.cycle(FAULTS):
            number = random.randrange(INSTRUMENTS)
            try:
                analysers.set_fault(number, name, **limits)
                self.counts[f"fault {name}"] += 1
                self.stop.wait(FAULT_SECONDS)
                analysers.clear(number)
            except httpx.HTTPError:  # the control panel is busy; the next round clears it
                self.counts["faults not set"] += 1
            if self.stop.wait(QUIET_SECONDS):
                return

    def _kills(self, every: float, kills: int) -> None:
        for name in itertools.islice(itertools.cycle(PARTS), kills):
            if self.stop.wait(every):
                return
            self._kill(name)

    def _kill(self, name: str) -> None:
        status = read_status(self.folder)
        pid = _pid_of(status, name) if status is not None else None
        if pid is None:
            self.counts[f"nothing to kill: {name}"] += 1
            return
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        self.counts[f"killed {name}"] += 1
        while is_alive(pid) or not present(self.folder)["ready"]:
            if time.monotonic() - began > BACK_SECONDS:
                self.not_back.append(name)
                self.tell(f"  killed {name}: NOT ready again after {BACK_SECONDS} s")
                return
            time.sleep(0.5)
        self.tell(f"  killed {name}: ready again after {time.monotonic() - began:.1f} s")


def _pid_of(status: Status, name: str) -> int | None:
    if name == RUNS:
        parts = {part.pid for part in status.parts}
        return next((pid for pid in members(status.session) if pid not in parts), None)
    return next((part.pid for part in status.parts if part.name == name), None)
