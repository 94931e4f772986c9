"""One Prefect server for all tests of the workers, a pool and a worker for each."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.worker.running import Pool, Server

KINDS = ["labwire-warm", "process"]
_numbers = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="labwire-test-worker-") as folder:
        running = Server(Path(folder))
        running.start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def make_pool(server: Server) -> Iterator[Callable[..., Pool]]:
    """Pools with a running worker, which is stopped at the end."""
    made: list[Pool] = []

    def make(kind: str = "labwire-warm", arguments: tuple[str, ...] = (), **settings: str) -> Pool:
        pool = Pool(server, kind, f"pool-{os.getpid()}-{next(_numbers)}", settings, arguments)
        made.append(pool)
        pool.start_worker()
        return pool

    yield make
    for pool in made:
        if pool.process is not None and pool.process.poll() is None:
            pool.stop_worker()


@pytest.fixture(scope="module")
def shared_pool(server: Server) -> Iterator[Pool]:
    """A warm worker for the tests that leave it as it is."""
    pool = Pool(server, "labwire-warm", f"shared-{os.getpid()}-{next(_numbers)}")
    pool.start_worker()
    yield pool
    pool.stop_worker()


@pytest.fixture(scope="module", params=KINDS)
def either_pool(request: pytest.FixtureRequest, server: Server) -> Iterator[Pool]:
    """First a warm worker, then the stock one: what holds for both."""
    pool = Pool(server, request.param, f"either-{os.getpid()}-{next(_numbers)}")
    pool.start_worker()
    yield pool
    if pool.process is not None and pool.process.poll() is None:
        pool.stop_worker(signal.SIGTERM)
