"""A mailbox."""

from collections.abc import Iterator

import pytest

from deployments.simulators.mailbox import Mailbox
from tests.conftest import Database
from tests.upkeep.helpers import use_mailbox


@pytest.fixture
def mailbox(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server the settings point to."""
    with Mailbox() as running:
        use_mailbox(running, monkeypatch)
        yield running
