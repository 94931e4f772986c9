"""On a real Prefect server: a wish that a run about to begin will fulfil starts no other run."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import httpx
import prefect.settings
import pytest

from models.kernel.settings import settings
from tasks.clients.prefect import PrefectServer

pytestmark = [pytest.mark.contract, pytest.mark.slow]


class Deployment:
    """One deployment of a name of its own, with nobody to work for it."""

    def __init__(self, url: str) -> None:
        self.rest = httpx.Client(base_url=url, timeout=30)
        self.name = f"waits-{uuid4().hex[:6]}"
        flow = self._post("/flows/", name=self.name)
        self._id = self._post("/deployments/", name=self.name, flow_id=flow["id"])["id"]

    def schedule(self, parameters: dict[str, Any], *, at: str | None = None) -> str:
        state: dict[str, Any] = {"type": "SCHEDULED", "name": "Scheduled"}
        if at:
            state["state_details"] = {"scheduled_time": at}
        path = f"/deployments/{self._id}/create_flow_run"
        return str(self._post(path, parameters=parameters, state=state)["id"])

    def begin(self, run_id: str) -> None:
        self._post(f"/flow_runs/{run_id}/set_state", state={"type": "RUNNING", "name": "Running"}, force=True)

    def _post(self, path: str, **body: Any) -> Any:
        return self.rest.post(path, json=body).raise_for_status().json()


@pytest.fixture
def deployment(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    url = str(prefect.settings.PREFECT_API_URL.value())
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", url)
    settings.cache_clear()
    made = Deployment(url)
    yield made
    made.rest.close()


def _ask(deployment: Deployment, parameters: dict[str, Any]) -> str:
    with closing(PrefectServer()) as server:
        return server.ask_run(deployment.name, parameters, key=uuid4().hex)


def test_a_due_run_of_the_same_parameters_or_of_everything_is_taken(deployment: Deployment) -> None:
    one = deployment.schedule({"tenant": "lagoon"})
    assert _ask(deployment, {"tenant": "lagoon"}) == one
    other = _ask(deployment, {"tenant": "harbour"})
    assert other != one
    everything = deployment.schedule({"tenant": "", "instrument_id": None})
    assert _ask(deployment, {"tenant": "marina"}) == everything


def test_one_assignment_is_not_covered_by_what_is_due(deployment: Deployment) -> None:
    known = {deployment.schedule({}), deployment.schedule({"tenant": "lagoon"})}
    assert _ask(deployment, {"tenant": "lagoon", "assignment_id": 5}) not in known


def test_a_run_that_has_begun_or_is_for_later_is_not_taken(deployment: Deployment) -> None:
    begun = deployment.schedule({"tenant": "lagoon"})
    deployment.begin(begun)
    later = deployment.schedule({"tenant": "lagoon"}, at="2999-01-01T00:00:00Z")
    assert _ask(deployment, {"tenant": "lagoon"}) not in {begun, later}
