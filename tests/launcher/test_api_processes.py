"""Several API processes on one address count together, also when one is killed and comes back."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.launcher import hub
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import Part
from deployments.launcher.ports import listen
from models.kernel.settings import Settings
from tests.conftest import Database
from tests.launcher.running import wait_for

pytestmark = pytest.mark.contract

HEALTH = 'labwire_requests_total{method="GET",route="/healthz",status="200"}'


@pytest.fixture
def plan(database: Database, tmp_path: Path) -> Iterator[hub.Plan]:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    folder.clear_temporary()
    options = Settings(_env_file=None, api_processes=2)
    with listen("127.0.0.1", 0, "LABWIRE_API_PORT") as sock:
        yield hub.Plan(folder=folder, options=options, cluster=None, auth="a:b", api_socket=sock)


def _api_parts(plan: hub.Plan) -> list[Part]:
    return [part for part in hub.hub_parts(plan) if part.name.startswith("api")]


@contextmanager
def _running(parts: list[Part]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    started = {part.name: _start(part) for part in parts}
    try:
        yield started
    finally:
        for process in started.values():
            process.kill()
            process.wait()


def _start(part: Part) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        part.command, env=os.environ | part.environment, cwd=part.working_dir, pass_fds=part.pass_fds
    )


def _get(plan: hub.Plan, path: str) -> str:
    """One answer, over a connection of its own: whichever process takes it."""
    return httpx.get(f"{plan.api_url}{path}", trust_env=False, timeout=60).raise_for_status().text


def _counted(text: str) -> float:
    found = re.search(rf"^{re.escape(HEALTH)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0


def test_counts_add_up_and_go_on_after_a_process_was_killed(plan: hub.Plan) -> None:
    with _running(_api_parts(plan)) as processes:
        asked = 0

        def both_have_counted() -> bool:
            nonlocal asked
            for _ in range(5):
                _get(plan, "/healthz")
            asked += 5
            return len(list(plan.folder.metrics.glob("counter_api-*.db"))) == 2

        wait_for(both_have_counted, 60, "both processes have answered")
        for _ in range(20):  # whoever answers, the sum is the same
            assert _counted(_get(plan, "/metrics")) == asked

        for _ in range(2):
            processes["api-1"].send_signal(signal.SIGKILL)
            processes["api-1"].wait()
            assert _counted(_get(plan, "/metrics")) == asked, "what the dead one had counted stays"
            processes["api-1"] = _start(_api_parts(plan)[0])
        before = {path: path.read_bytes() for path in plan.folder.metrics.glob("counter_api-1.db")}

        def first_counts_again() -> bool:
            nonlocal asked
            _get(plan, "/healthz")
            asked += 1
            return any(path.read_bytes() != content for path, content in before.items())

        wait_for(first_counts_again, 60, "the restarted process has answered")
        text = _get(plan, "/metrics")
        assert _counted(text) == asked
        assert {path.stem.partition("_")[2] for path in plan.folder.metrics.iterdir()} == {"api-1", "api-2"}
        # Gauges are asked of the database at each reading: one figure, not one per process, and none added up.
        assert len(re.findall(r"^labwire_audit_unsealed ", text, re.MULTILINE)) == 1
        assert "pid=" not in text


def test_one_process_keeps_its_counts_to_itself(plan: hub.Plan) -> None:
    single = hub.Plan(**vars(plan) | {"options": plan.options.model_copy(update={"api_processes": 1})})
    (part,) = _api_parts(single)
    assert (part.name, part.environment) == ("api", {})


def test_counts_of_an_earlier_start_are_forgotten(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    folder.metrics.mkdir()
    (folder.metrics / "counter_api-3.db").touch()
    folder.clear_temporary()
    assert list(folder.metrics.iterdir()) == []
