"""Runs that failed or crashed reach the operators by mail: each counted once, a deployment once an hour at most."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import prefect.settings
import pytest
from sqlalchemy import select, text

from deployments.simulators.mailbox import Mailbox
from deployments.worker.rest import prefect_client
from flows.upkeep.report_failures import report_failures
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tables import OutboxEvent
from models.kernel.tenancy import tenant_session
from models.upkeep import failures as store
from tasks.tally import Tally
from tasks.upkeep import failures
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tasks.upkeep.failures import tell_of_runs
from tests.factories import make_tenant

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.xdist_group("prefect")]

OPS = ["ops@hub.example", "night@hub.example"]


class Server:
    """The Prefect server as those who run flows use it; its deployments have names of their own for each test."""

    def __init__(self, url: str) -> None:
        self._client = prefect_client(url, "")  # asks again where Prefect's SQLite was busy
        self._mark = uuid4().hex[:6]

    def name(self, short: str) -> str:
        return f"{short}-{self._mark}"

    def end(self, short: str, state: str = "FAILED", *, count: int = 1, message: str = "", **others: Any) -> list[str]:
        """So many runs of a deployment that end now; their ids."""
        flow = self._post("/flows/", name=self.name(short))
        deployment = self._post("/deployments/", name=self.name(short), flow_id=flow["id"])["id"]
        if others.pop("is_loose", False):
            deployment = None
        ids = []
        for _ in range(count):
            run = self._post("/flow_runs/", flow_id=flow["id"], deployment_id=deployment, **others)
            ids.append(run["id"])
            self._post(f"/flow_runs/{run['id']}/set_state", state={"type": "RUNNING", "name": "Running"}, force=True)
            ended = {"type": state, "name": state.title(), "message": message}
            self._post(f"/flow_runs/{run['id']}/set_state", state=ended, force=True)
        return ids

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, **body: Any) -> Any:
        return self._client.post(path, json=body).raise_for_status().json()


@pytest.fixture
def server(prefect_server: None, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server without failed runs of the present moment: what other tests left ended before the first look."""
    url = str(prefect.settings.PREFECT_API_URL.value())
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", url)
    monkeypatch.setenv("LABWIRE_OPERATOR_MAIL", ", ".join(OPS))
    monkeypatch.setattr(failures, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(store, "FIRST_LOOK", timedelta(0))
    settings.cache_clear()
    made = Server(url)
    yield made
    made.close()


@pytest.fixture
def north(server: Server) -> int:
    """A tenant, and the first look."""
    tenant = make_tenant("north")
    make_tenant("south")
    assert tell_of_runs().message == "nothing to do"
    return tenant


def mails(tenant_id: int) -> list[dict[str, Any]]:
    """The contexts of the mails to the first of the operators."""
    with tenant_session(tenant_id) as session:
        wanted = select(OutboxEvent).where(OutboxEvent.type == "runs.failed").order_by(OutboxEvent.id)
        return [one.payload["context"] for one in session.scalars(wanted) if one.payload["to"] == OPS[:1]]


def counted(tenant_id: int) -> list[dict[str, tuple[int, int]]]:
    """Failed and crashed by deployment, mail by mail."""
    return [
        {one["name"].rpartition("-")[0]: (one["failed"], one["crashed"]) for one in mail["deployments"]}
        for mail in mails(tenant_id)
    ]


def an_hour_later(tenant_id: int) -> None:
    with tenant_session(tenant_id) as session:
        session.execute(text("UPDATE failure_notice SET mailed_at = mailed_at - interval '61 minutes'"))


async def test_operators_read_counts_deployments_and_links_and_nothing_else(
    north: int, server: Server, mailbox: Mailbox
) -> None:
    run = server.end("poll-results", count=2, message="secret words of a run")[-1]
    lost = server.end("seal-audit", "CRASHED")[0]
    server.end("deliver-messages", "COMPLETED")
    server.end("deliver-messages", "CANCELLED")
    tally = await asyncio.to_thread(tell_of_runs)
    assert tally.message == "failed runs found 3, failed runs told of 3"
    await deliver_kinds(KINDS, idle_seconds=0.1)
    assert sorted(message.recipients[0] for message in mailbox.messages) == sorted(OPS)
    for message in mailbox.messages:
        assert message.subject.startswith("labwire: 3 runs failed (poll-results-")
        for part in (message.text or "", message.html or ""):
            assert server.name("poll-results") in part
            assert server.name("seal-audit") in part
            assert f"/runs/flow-run/{lost}" in part
            assert "secret words" not in part
            assert "deliver-messages" not in part
        assert "poll-results" in (message.text or "")
        assert "2 failed, 0 crashed" in (message.text or "")
    [mail] = mails(north)
    page = next(one["page"] for one in mail["deployments"] if one["failed"])
    assert page.startswith("http://127.0.0.1:")
    assert page.endswith(f"/runs/flow-run/{run}")  # of several the last one


@pytest.mark.rerun
def test_nothing_is_told_twice_and_what_fails_within_the_hour_is_gathered(north: int, server: Server) -> None:
    server.end("poll-results")
    assert tell_of_runs().message == "failed runs found 1, failed runs told of 1"
    assert tell_of_runs().message == "nothing to do"
    server.end("poll-results", count=2)
    assert tell_of_runs().message == "failed runs found 2"
    server.end("poll-results", "CRASHED")
    server.end("seal-audit")
    assert tell_of_runs().message == "failed runs found 2, failed runs told of 1"  # another deployment does not wait
    an_hour_later(north)
    assert tell_of_runs().message == "failed runs told of 3"
    an_hour_later(north)
    assert tell_of_runs().message == "nothing to do"
    assert counted(north) == [{"poll-results": (1, 0)}, {"seal-audit": (1, 0)}, {"poll-results": (2, 1)}]


def test_a_run_without_a_deployment_has_its_flow_s_name(north: int, server: Server) -> None:
    server.end("by-hand", is_loose=True)
    assert tell_of_runs().counts["failed runs told of"] == 1
    assert counted(north) == [{"by-hand": (1, 0)}]


def test_more_than_a_page_of_runs_are_counted_each_once(north: int, server: Server, monkeypatch: Any) -> None:
    monkeypatch.setattr("tasks.clients.prefect.PAGE", 2)
    server.end("poll-results", count=5)
    assert tell_of_runs().message == "failed runs found 5, failed runs told of 5"


def test_what_ended_just_now_is_left_to_the_next_look(north: int, server: Server, monkeypatch: Any) -> None:
    """The server may not show all of it yet; nothing is lost by it and nothing doubled."""
    monkeypatch.setattr(failures, "SETTLED_SECONDS", 30)
    server.end("poll-results", count=2)
    assert tell_of_runs().message == "nothing to do"
    soon = utc_now() + timedelta(seconds=45)
    assert tell_of_runs(soon).message == "failed runs found 2, failed runs told of 2"
    assert tell_of_runs(soon + timedelta(seconds=60)).message == "nothing to do"


def test_while_the_server_is_away_the_run_says_so_and_afterwards_nothing_is_missed(
    north: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.end("poll-results")
    with monkeypatch.context() as away:
        away.setenv("LABWIRE_PREFECT_API_URL", "http://127.0.0.1:1/api")
        settings.cache_clear()
        tally = tell_of_runs()
        assert tally.problems == {"could not look for failed runs": 1}
        assert "the Prefect server does not answer" in tally.message
    settings.cache_clear()
    server.end("poll-results")
    assert tell_of_runs().message == "failed runs found 2, failed runs told of 2"


def test_without_an_address_nobody_is_told_and_nothing_is_asked(
    north: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_OPERATOR_MAIL", "")
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", "http://127.0.0.1:1/api")
    settings.cache_clear()
    server.end("poll-results")
    tally = tell_of_runs()
    assert (tally.problems, tally.message) == ({}, "LABWIRE_OPERATOR_MAIL is empty: nobody is told of failed runs")


def test_the_mail_goes_through_the_outbox_of_the_tenant_that_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tenant("north")
    south = make_tenant("south")
    monkeypatch.setenv("LABWIRE_OPERATOR_TENANT", "south")
    settings.cache_clear()
    tell_of_runs()
    server.end("poll-results")
    tell_of_runs()
    assert counted(south) == [{"poll-results": (1, 0)}]
    monkeypatch.setenv("LABWIRE_OPERATOR_TENANT", "west")
    settings.cache_clear()
    assert "LABWIRE_OPERATOR_TENANT names no active tenant" in tell_of_runs().message


def test_looks_at_the_same_time_count_each_run_once(north: int, server: Server) -> None:
    server.end("poll-results", count=3)
    server.end("seal-audit", count=2)
    with ThreadPoolExecutor(4) as pool:
        tallies: list[Tally] = list(pool.map(lambda _: tell_of_runs(), range(4)))
    assert sum(tally.counts["failed runs found"] for tally in tallies) == 5
    assert sum(tally.counts["failed runs told of"] for tally in tallies) == 5
    assert sorted(counted(north), key=str) == [{"poll-results": (3, 0), "seal-audit": (2, 0)}]


def test_killed_between_look_and_commit_the_next_run_tells_all(
    north: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.end("poll-results", count=2)
    with monkeypatch.context() as broken:
        broken.setattr(store, "publish_many", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            tell_of_runs()
    assert mails(north) == []
    assert tell_of_runs().message == "failed runs found 2, failed runs told of 2"


async def test_the_flow_tells_of_both_and_a_second_run_of_nothing(
    north: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(server.end, "poll-results")
    state = await report_failures(return_state=True)
    assert (state.type, state.message) == ("COMPLETED", "failed runs found 1, failed runs told of 1")
    state = await report_failures(tenant="north", return_state=True)
    assert (state.type, state.message) == ("COMPLETED", "nothing to do")
