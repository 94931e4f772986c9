"""A mailbox, and a Prefect server of the test run."""

from collections.abc import Iterator

import pytest
from prefect.testing.utilities import prefect_test_harness

from deployments.simulators.mailbox import Mailbox
from tests.conftest import Database
from tests.upkeep.helpers import use_mailbox


@pytest.fixture
def mailbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server the settings point to."""
    with Mailbox() as running:
        use_mailbox(running, monkeypatch)
        yield running


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with tables of its own in a temporary folder."""
    with prefect_test_harness(server_startup_timeout=120):
        yield
