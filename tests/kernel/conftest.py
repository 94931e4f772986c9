"""A tenant whose heads lie in a folder of the test."""

from pathlib import Path

import pytest

from models.kernel.settings import settings
from tests.conftest import Database
from tests.factories import make_tenant


@pytest.fixture
def heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABWIRE_AUDIT_HEAD_DIR", str(tmp_path / "heads"))
    settings.cache_clear()
    return tmp_path / "heads"


@pytest.fixture
def tenant(database: Database, heads: Path) -> int:
    return make_tenant("north")


@pytest.fixture
def north(database: Database) -> int:
    return make_tenant("north")
