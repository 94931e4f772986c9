"""One started hub for all tests of this folder, for each start costs seconds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.launcher import postgres
from tests.launcher.running import RunningHub


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub whose tests may kill parts of it, but must leave it ready."""
    root = tmp_path_factory.mktemp("hub")
    (root / "home").mkdir()
    running = RunningHub(root / "state", root / "home")
    try:
        running.start()
        yield running
    finally:
        if running.launcher is not None and running.launcher.poll() is None:
            running.stop()
        remove_postgres_home(running.state_dir)


def remove_postgres_home(state_dir: Path) -> None:
    """As root the server's folder lies outside the state folder; a kept one is the test's to remove."""
    if (state_dir / "postgres-home").exists():
        shutil.rmtree(postgres.default_home(state_dir), ignore_errors=True)
