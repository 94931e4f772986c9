"""Runs that are asked for: gathered, at most one per flow and slot, and never in the way of a request."""

import base64
import json
import threading
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from api.runs import Wishes, parameters_of
from models.kernel.errors import RefusedError, RetryableError
from models.kernel.settings import settings
from tasks.clients.prefect import PrefectServer

pytestmark = pytest.mark.unit


class Asked:
    """Notes what is asked for; `wait` returns once there are so many."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, dict[str, object], str]] = []
        self.error: Exception | None = None

    def __call__(self, flow: str, parameters: dict[str, object], key: str) -> None:
        self.runs.append((flow, parameters, key))
        if self.error is not None:
            raise self.error

    def wait(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.runs) < count:
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.mark.parametrize(
    ("wishes", "parameters"),
    [
        ({"alpha": {7}}, {"tenant": "alpha", "assignment_id": 7}),
        ({"alpha": {7, 8}}, {"tenant": "alpha"}),
        ({"alpha": {0, 8}}, {"tenant": "alpha"}),
        ({"alpha": {0}}, {"tenant": "alpha"}),
        ({"alpha": {7}, "beta": {8}}, {"tenant": ""}),
    ],
)
def test_what_a_run_is_told(wishes: dict[str, set[int]], parameters: dict[str, object]) -> None:
    assert parameters_of(wishes) == parameters


def test_two_hundred_wishes_of_one_moment_become_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, is_over = Asked(), threading.Event()
    slot = SimpleNamespace(time=time.time, sleep=lambda seconds: is_over.wait(60))  # until all of them are there
    monkeypatch.setattr(f"{Wishes.__module__}.time", slot)
    wishes = Wishes(asked, slot_seconds=0.3)
    wishes.add("submit-assignments", "alpha", [1])
    asked.wait(1)  # the first goes at once
    threads = [threading.Thread(target=wishes.add, args=("submit-assignments", "alpha", [n])) for n in range(2, 201)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked.runs) == 1
    is_over.set()
    asked.wait(2)  # the others together, when the slot is over
    assert [run[1] for run in asked.runs] == [{"tenant": "alpha", "assignment_id": 1}, {"tenant": "alpha"}]
    assert asked.runs[0][2] != asked.runs[1][2]


def test_prefect_away_stops_nothing() -> None:
    asked = Asked()
    asked.error = RetryableError("the Prefect server does not answer")
    wishes = Wishes(asked, slot_seconds=0.01)
    wishes.add("poll-results", "alpha", [1])
    asked.wait(1)
    wishes.add("poll-results", "alpha", [2])
    asked.wait(2)


def server(answer: Any, monkeypatch: pytest.MonkeyPatch) -> PrefectServer:
    monkeypatch.setenv("LABWIRE_PREFECT_AUTH_STRING", "someone:a-long-word")
    settings.cache_clear()
    return PrefectServer(httpx.MockTransport(answer))


def test_a_run_is_asked_for_by_the_deployments_name_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 2:
            return httpx.Response(503)  # two transactions collided: nothing was done
        if request.url.path.endswith("/filter"):
            return httpx.Response(200, json=[])
        return httpx.Response(200, json={"id": "deployment-1" if request.method == "GET" else "run-1"})

    prefect = server(answer, monkeypatch)
    assert prefect.ask_run("poll-results", {"tenant": "alpha"}, key="k-1") == "run-1"
    assert [request.url.path for request in seen] == [
        "/api/deployments/name/poll-results/poll-results",
        *["/api/flow_runs/filter"] * 2,
        "/api/deployments/deployment-1/create_flow_run",
    ]
    assert json.loads(seen[-1].content) == {"parameters": {"tenant": "alpha"}, "idempotency_key": "k-1"}
    assert seen[0].headers["authorization"] == "Basic " + base64.b64encode(b"someone:a-long-word").decode()


@pytest.mark.parametrize(("status", "kind"), [(500, RetryableError), (503, RetryableError), (404, RefusedError)])
def test_what_prefect_refuses_is_told_by_class(
    status: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.clients.prefect.BUSY_PAUSES_SECONDS", (0.0,))
    with pytest.raises(kind):
        server(lambda request: httpx.Response(status), monkeypatch).ask_run("poll-results", {}, key="k")


def test_no_answer_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(RetryableError, match="does not answer"):
        server(away, monkeypatch).ask_run("poll-results", {}, key="k")
