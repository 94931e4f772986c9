"""The Prefect server goes and comes back under a worker that goes on."""

import tempfile
from pathlib import Path

import pytest

from tests.worker.running import Pool, Server, wait_for

FLOWS = "tests.worker.samples.flows"


@pytest.mark.contract
@pytest.mark.slow
def test_runs_start_and_are_cancelled_after_the_server_was_restarted(tmp_path: Path) -> None:
    """The worker's line for cancellations is shared by its runs: it must come back too."""
    with tempfile.TemporaryDirectory(prefix="labwire-test-restart-") as folder:
        server = Server(Path(folder))
        server.start()
        pool = Pool(server, "labwire-warm", "restarted")
        pool.start_worker()
        try:
            assert pool.told(f"{FLOWS}.tells")["pid"]
            server.stop()
            server.start()
            run_id = pool.start(f"{FLOWS}.sleeps", {"note": str(tmp_path / "note")})
            wait_for((tmp_path / "note.pid").exists, 120, "the run")
            pool.told_to_end(run_id)
            assert pool.finished(run_id, 90)[0] == "CANCELLED"
            wait_for((tmp_path / "note").exists, 30, "the hook")
        finally:
            pool.stop_worker()
            server.stop()
