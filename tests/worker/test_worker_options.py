"""Limit, queues, health check and stopping, on both kinds of worker."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from deployments.launcher.ports import free_port
from tests.worker.conftest import KINDS
from tests.worker.running import Pool, wait_for

pytestmark = [pytest.mark.contract, pytest.mark.slow]

FLOWS = "tests.worker.samples.flows"
both_kinds = pytest.mark.parametrize("kind", KINDS)


@both_kinds
def test_the_queue_of_higher_priority_comes_first_where_one_run_is_allowed(
    kind: str, make_pool: Callable[..., Pool]
) -> None:
    pool = make_pool(kind, ("--limit", "1"))
    pool.stop_worker()
    pool.queue("routine", 10)
    pool.queue("urgent", 2)
    routine = [pool.start(f"{FLOWS}.tells", work_queue_name="routine") for _ in range(2)]
    urgent = pool.start(f"{FLOWS}.tells", work_queue_name="urgent")
    pool.start_worker()
    assert {pool.finished(run_id, 120)[0] for run_id in [*routine, urgent]} == {"COMPLETED"}

    def moments(run_id: str) -> tuple[datetime, datetime]:
        run = pool.run(run_id)
        return datetime.fromisoformat(run["start_time"]), datetime.fromisoformat(run["end_time"])

    first, second, third = sorted(moments(run_id) for run_id in [*routine, urgent])
    assert first == moments(urgent)
    assert first[1] <= second[0]
    assert second[1] <= third[0]


@both_kinds
def test_the_health_check_answers(kind: str, make_pool: Callable[..., Pool]) -> None:
    port = free_port()
    pool = make_pool(kind, ("--with-healthcheck",), PREFECT_WORKER_WEBSERVER_PORT=str(port))
    assert pool.told(f"{FLOWS}.tells")["pid"]
    answer = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})


def test_a_run_that_ends_soon_is_let_go_on_by_a_stopping_worker(make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    pool = make_pool()
    run_id = pool.start(f"{FLOWS}.sleeps", {"seconds": 3, "note": str(tmp_path / "note")})
    wait_for((tmp_path / "note.pid").exists, 60, "the run")
    assert pool.stop_worker() == 0
    assert pool.finished(run_id, 1) == ("COMPLETED", "slept")
    late = pool.start(f"{FLOWS}.tells")
    assert pool.run(late)["state_type"] == "SCHEDULED"


def test_a_run_that_does_not_end_is_reported_as_crashed_by_a_stopping_worker(
    make_pool: Callable[..., Pool], tmp_path: Path
) -> None:
    pool = make_pool(LABWIRE_WORKER_DRAIN_SECONDS="1")
    run_id = pool.start(f"{FLOWS}.sleeps", {"seconds": 300, "note": str(tmp_path / "note")})
    wait_for((tmp_path / "note.pid").exists, 60, "the run")
    assert pool.stop_worker() == 0
    assert pool.finished(run_id, 1)[0] == "CRASHED"
