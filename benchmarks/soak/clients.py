"""People who keep trying: a hub whose parts are killed answers late, and its callers ask again."""

import threading
import time
from collections import Counter
from typing import Any

import httpx

from deployments.demo.scenario import Hub

PATIENCE_SECONDS = 180
PAUSE_SECONDS = 0.5
AGAIN = frozenset({408, 429, 502, 503, 504})
"""Come back later; anything else is an answer."""


class GaveUpError(Exception):
    """What was asked for did not come about in time, or was refused."""


class Answers:
    """Every answer of the API counted by its status, and connections that broke; of any thread."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        """Statuses of 500, with the path: a part that is away is a 503, never a 500."""
        self._lock = threading.Lock()

    def note(self, what: str, path: str) -> None:
        """Count one answer."""
        with self._lock:
            self.counts[what] += 1
            if what == "500":
                self.wrong.append(path)


class Person:
    """A signed-in user of the JSON API who repeats a request, unchanged, until it is answered."""

    def __init__(self, hub: Hub, email: str, answers: Answers) -> None:
        self._answers = answers
        self._client = httpx.Client(base_url=hub.api.base_url, timeout=30, trust_env=False)
        credentials = {"email": email, "password": hub.settings["LABWIRE_DEMO_PASSWORD"]}
        made = self.ask("POST", "/sessions", json=credentials)
        self._client.headers["X-CSRF-Token"] = made["csrf_token"]

    def ask(self, method: str, path: str, *, accept: tuple[int, ...] = (), **request: Any) -> Any:
        """The answer's JSON, None for a status in `accept`; GaveUpError when it is refused or nobody answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            said = self._try(method, f"/api/v1{path}", request)
            if isinstance(said, httpx.Response):
                if said.is_success:
                    return said.json()
                if said.status_code in accept:
                    return None
                if said.status_code not in (*AGAIN, 500):
                    raise GaveUpError(f"{method} {path}: {said.status_code} {said.text[:200]}")
            if time.monotonic() > deadline:
                raise GaveUpError(f"{method} {path}: no answer within {PATIENCE_SECONDS} s; last: {said}")
            time.sleep(PAUSE_SECONDS)

    def _try(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response | str:
        try:
            answer = self._client.request(method, path, **request)
        except httpx.TransportError as error:
            self._answers.note(f"no answer ({type(error).__name__})", path)
            return type(error).__name__
        self._answers.note(str(answer.status_code), path)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Runs:
    """The Prefect server, asked with the same patience."""

    def __init__(self, hub: Hub) -> None:
        self._client = hub.prefect

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer's JSON; GaveUpError when there is none in time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._client.request(method, path, json=body).raise_for_status().json()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if time.monotonic() > deadline:
                    raise GaveUpError(f"Prefect, {path}: {type(error).__name__}") from None
                time.sleep(PAUSE_SECONDS)

    def start(self, flow: str) -> None:
        """Ask for a run of a deployment, for all laboratories."""
        found = self.ask("GET", f"/deployments/name/{flow}/{flow}")
        self.ask("POST", f"/deployments/{found['id']}/create_flow_run", {"parameters": {}})

    def in_states(self, *states: str) -> list[dict[str, Any]]:
        """The runs that are in one of these states now, at most 200."""
        wanted = {"flow_runs": {"state": {"type": {"any_": list(states)}}}, "limit": 200}
        return list(self.ask("POST", "/flow_runs/filter", wanted))

    def count_by_state(self) -> dict[str, int]:
        """How many runs ended, or stand, in each state."""
        kinds = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING", "PENDING")
        counted = {
            kind: self.ask("POST", "/flow_runs/count", {"flow_runs": {"state": {"type": {"any_": [kind]}}}})
            for kind in kinds
        }
        return {kind: number for kind, number in counted.items() if number}
