"""What most tests of people begin with."""

import pytest

from tests.conftest import Database
from tests.factories import make_tenant


@pytest.fixture
def alpha(database: Database) -> int:
    """A laboratory."""
    return make_tenant("alpha")
