"""The people of the demo, each signed in through the real door, and what the scenarios ask of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from deployments.demo.scenario import Hub, ScenarioError


class Person:
    """A signed-in user: reads and changes through the JSON API with the session's cookie and CSRF token.

    `client` is for what is not JSON.
    """

    def __init__(self, hub: Hub, email: str) -> None:
        self.client = httpx.Client(base_url=hub.api.base_url, timeout=30, trust_env=False)
        password = hub.settings.get("LABWIRE_DEMO_PASSWORD") or os.environ["LABWIRE_DEMO_PASSWORD"]
        answer = self.client.post("/api/v1/sessions", json={"email": email, "password": password})
        self.client.headers["X-CSRF-Token"] = self._expect(answer, 201)["csrf_token"]

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        """The answer's JSON; ScenarioError when its status is another."""
        return self._expect(self.client.get(f"/api/v1{path}", params=query), status)

    def post(self, path: str, body: dict[str, Any], status: int = 200) -> Any:
        """The answer's JSON; ScenarioError when its status is another."""
        return self._expect(self.client.post(f"/api/v1{path}", json=body), status)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _expect(self, answer: httpx.Response, status: int) -> Any:
        if answer.status_code != status:
            path = answer.request.url.path
            raise ScenarioError(f"{path} answered {answer.status_code} instead of {status}: {answer.text[:200]}")
        return answer.json() if answer.content else None


@contextmanager
def signed_in(hub: Hub, *names: str, laboratory: str = "lagoon") -> Iterator[list[Person]]:
    """The people of these names, signed in; closed at the end."""
    people = [Person(hub, f"{name}@{laboratory}.example") for name in names]
    try:
        yield people
    finally:
        for person in people:
            person.close()


class Analysers:
    """The simulated analysers' control panel, by the number of the analyser."""

    def __init__(self, hub: Hub) -> None:
        self._client = httpx.Client(base_url=hub.settings["LABWIRE_DEMO_INSTRUMENT_CONTROL"], trust_env=False)

    def set_fault(self, instrument: int, name: str, **limits: Any) -> None:
        """Turn a fault on, for one request_id, or for so many times."""
        answer = self._client.post("/control/faults", params={"instrument": instrument}, json={"name": name} | limits)
        answer.raise_for_status()

    def clear(self, instrument: int) -> None:
        """Turn every fault of an analyser off."""
        self._client.delete("/control/faults", params={"instrument": instrument}).raise_for_status()

    def entries(self, instrument: int, request_id: str) -> int:
        """How many entries the analyser's queue has, or had, for a request."""
        queue = self._client.get("/control/queue", params={"instrument": instrument}).raise_for_status().json()
        return sum(entry["request"]["requestId"] == request_id for entry in queue)
