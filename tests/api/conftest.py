"""What most tests of the API begin with."""

import pytest

from tests.conftest import Database
from tests.factories import make_tenant


@pytest.fixture(autouse=True)
def told_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours shows with its message."""
    monkeypatch.setenv("LABWIRE_DEBUG_ERRORS", "1")


@pytest.fixture
def alpha(database: Database) -> int:
    """A laboratory."""
    return make_tenant("alpha")


@pytest.fixture
def beta(alpha: int) -> int:
    """Another laboratory beside it."""
    return make_tenant("beta")
