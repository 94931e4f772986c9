"""The laboratory's day: orders in batches, results asked for, verified by two people, released."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.soak.clients import Answers, GaveUpError, Person, Runs
from deployments.demo.scenario import Hub

BATCH_SECONDS = 10.0
BATCH_ORDERS = 12
REVIEW_SECONDS = 7.0
FETCH_SECONDS = 20.0
REVIEWED_AT_ONCE = 100
SAMPLE = "SOAK-"
TESTS = ("LAB-CBC", "LAB-HGB", "LAB-WBC", "LAB-PLT", "LAB-GLU", "LAB-CREA", "LAB-ALT", "LAB-NA", "LAB-K", "LAB-TSH")
PATIENTS = 11
PRIORITIES = ("routine", "routine", "urgent", "stat")


@dataclass
class Day:
    """What was ordered, and what went wrong while doing so."""

    hub: Hub
    answers: Answers = field(default_factory=Answers)
    ordered: int = 0
    released: int = 0
    troubles: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        """Start everybody's work, each in a thread of their own."""
        for work, pause in (
            (self._orders(), BATCH_SECONDS),
            (self._reviews(), REVIEW_SECONDS),
            (self._fetches(), FETCH_SECONDS),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, pause), daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Let everybody finish what they are at."""
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def review(self) -> None:
        """One more round of verification and release."""
        self._reviews()()

    def _repeat(self, work: Callable[[], None], pause: float) -> None:
        while not self.stop.is_set():
            try:
                work()
            except GaveUpError as error:
                self.troubles.append(str(error))
            self.stop.wait(pause)

    def _orders(self) -> Callable[[], None]:
        technician = Person(self.hub, "technician@lagoon.example", self.answers)

        def order() -> None:
            first = self.ordered
            orders = [_order(number) for number in range(first, first + BATCH_ORDERS)]
            headers = {"Idempotency-Key": f"soak-{first}"}
            technician.ask("POST", "/assignments/batch", json={"orders": orders}, headers=headers)
            self.ordered += BATCH_ORDERS

        return order

    def _fetches(self) -> Callable[[], None]:
        runs = Runs(self.hub)
        return lambda: runs.start("poll-results")

    def _reviews(self) -> Callable[[], None]:
        people = [Person(self.hub, f"{name}@lagoon.example", self.answers) for name in ("verifier", "verifier2")]

        def review() -> None:
            for person in people:
                _act_on(person, "A", "verify")
            self.released += _act_on(people[0], "V", "release")

        return review


def _order(number: int) -> dict[str, Any]:
    return {
        "patient_code": f"PAT-{number % PATIENTS + 1:03}",
        "test_code": TESTS[number % len(TESTS)],
        "sample_id": f"{SAMPLE}{number:06}",
        "priority": random.choice(PRIORITIES),
    }


def _act_on(person: Person, status: str, deed: str) -> int:
    """Verify or release what is in this state, as seen a moment ago; how many it was done to."""
    found = person.ask("GET", "/assignments", params={"status": status, "search": SAMPLE, "size": REVIEWED_AT_ONCE})
    seen = [{"assignment_id": item["id"], "version": item["version"]} for item in found["items"]]
    if not seen:
        return 0
    outcomes = person.ask("POST", f"/assignments/{deed}", json={"assignments": seen})["outcomes"]
    return sum(outcome["error"] is None for outcome in outcomes)
