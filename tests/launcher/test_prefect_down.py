"""The Prefect server of a running hub is held down: the API takes orders as ever, and afterwards the work is done."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import psycopg2
import pytest

from deployments.launcher.environment import read_environment
from tasks.clients.prefect import TIMEOUT_SECONDS
from tests.launcher.running import PATIENCE_SECONDS, RunningHub, wait_for

pytestmark = [pytest.mark.contract, pytest.mark.chaos, pytest.mark.slow, pytest.mark.xdist_group("hub")]
ORDERS = 5
CATCH_UP_SECONDS = 600


@pytest.fixture
def polled_every_minute(hub: RunningHub) -> Iterator[None]:
    """Results are fetched every minute instead of every ten, so that the test need not wait as long."""
    with hub.prefect() as prefect:
        found = prefect.get("/deployments/name/poll-results/poll-results").raise_for_status().json()
        path = f"/deployments/{found['id']}/schedules"
        added = prefect.post(path, json=[{"schedule": {"cron": "* * * * *", "timezone": "UTC"}, "active": True}])
        schedule_id = added.raise_for_status().json()[0]["id"]
    yield
    with hub.prefect() as prefect:
        prefect.delete(f"{path}/{schedule_id}").raise_for_status()


def order(technician: httpx.Client, test: str, sample: str) -> int:
    """A new assignment; its id."""
    given = {"patient_code": "PAT-003", "test_code": test, "sample_id": sample}
    return int(change(technician, "/assignments", given, 201)["assignments"][0]["id"])


def change(person: httpx.Client, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
    answer = person.post(path, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def state(person: httpx.Client, assignment_id: int) -> str:
    return str(person.get(f"/assignments/{assignment_id}").raise_for_status().json()["status"])


def let_ten_minutes_pass(hub: RunningHub) -> None:
    """What the analyser had not finished when it was asked is due again."""
    with psycopg2.connect(read_environment(hub.folder)["LABWIRE_DATABASE_OWNER_URL"]) as connection:
        connection.cursor().execute("UPDATE assignment SET next_poll_at = now() WHERE status = 'I'")
    connection.close()


def is_analysed(hub: RunningHub, person: httpx.Client, assignment_id: int) -> bool:
    let_ten_minutes_pass(hub)
    return state(person, assignment_id) == "A"


def release_by_hand(hub: RunningHub, technician: httpx.Client, sample: str) -> int:
    """Ordered, entered, verified by two people and released, everything through the API."""
    one = order(technician, "LAB-HGB", sample)
    change(technician, f"/assignments/{one}/result", {"value": "13.1", "unit": "g/dL"})
    with hub.signed_in("verifier") as first, hub.signed_in("verifier2") as second:
        for person, deed in ((first, "verify"), (second, "verify"), (second, "release")):
            version = person.get(f"/assignments/{one}").json()["version"]
            change(person, f"/assignments/{one}/{deed}", {"version": version})
    assert state(technician, one) == "R"
    return one


def mails(hub: RunningHub, one: int) -> int:
    """How often the patient was told of this result."""
    box = read_environment(hub.folder)["LABWIRE_MAILBOX_URL"]
    there = httpx.get(f"{box}/messages.json", trust_env=False).raise_for_status().json()
    told = [mail for mail in there if f"REQ-{one} " in mail["subject"]]
    assert all(mail["to"] == ["ngozi@patients.example"] for mail in told)
    return len(told)


def orders(technician: httpx.Client, test: str, sample: str) -> tuple[list[int], float]:
    """Some orders of this test (each asks for a run): their ids, and the seconds of the slowest answer."""
    ids, slowest = [], 0.0
    for number in range(ORDERS):
        began = time.monotonic()
        ids.append(order(technician, test, f"{sample}-{number}"))
        slowest = max(slowest, time.monotonic() - began)
    return ids, slowest


def test_orders_are_taken_and_results_released_while_prefect_is_down_and_the_work_catches_up(
    hub: RunningHub, polled_every_minute: None
) -> None:
    before = hub.part("prefect")
    with hub.signed_in("technician") as technician:
        first, usual = orders(technician, "LAB-HGB", "SAMP-BEFORE")
        # It does not answer: connections are taken, and nothing comes.
        os.kill(before["pid"], signal.SIGSTOP)
        hanging, while_hanging = orders(technician, "LAB-HGB", "SAMP-HANGS")
        # It is gone: connections are refused, for its successor is held before it listens.
        os.kill(before["pid"], signal.SIGKILL)
        wait_for(lambda: hub.part("prefect")["pid"] not in (None, before["pid"]), PATIENCE_SECONDS, "a successor")
        successor = hub.part("prefect")["pid"]
        os.kill(successor, signal.SIGSTOP)
        try:
            with pytest.raises(httpx.ConnectError), hub.prefect() as prefect:
                prefect.get("/health")
            late, while_gone = orders(technician, "LAB-WBC", "SAMP-GONE")
            released = release_by_hand(hub, technician, "SAMP-GONE-HAND")
            assert {state(technician, one) for one in late} == {"P"}, "nobody can have sent them"
        finally:
            os.kill(successor, signal.SIGCONT)
        # An answer that waited for Prefect would have taken the whole time-out longer.
        assert max(while_hanging, while_gone) < usual + TIMEOUT_SECONDS
        ids = [*first, *hanging, *late]
        for one in ids:
            wait_for(partial(is_analysed, hub, technician, one), CATCH_UP_SECONDS, f"assignment {one} analysed")
    wait_for(lambda: mails(hub, released), CATCH_UP_SECONDS, "the patient's mail")
    wait_for(lambda: hub.status()["ready"], PATIENCE_SECONDS, "every part ready again")
    assert mails(hub, released) == 1
