"""An inbox for the tests: files dropped as devices drop them, and what a run leaves behind."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from tasks.vitals.ingest import ingest
from tasks.vitals.outcomes import FileReport
from tests.vitals.conftest import Clinic


def moment(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="microseconds")


def reading(minutes: float = 5, **values: Any) -> dict[str, Any]:
    return {"device_id": "DEV001", "timestamp": moment(minutes=minutes), "heart_rate": 75} | values


@dataclass
class Drop:
    """The folders of one installation; the tenant `clinic` has files in the root and in its own folder."""

    clinic: Clinic
    base: Path

    @property
    def inbox(self) -> Path:
        return self.base / "inbox"

    def put(self, name: str, content: Any, folder: str = "") -> Path:
        place = self.inbox / folder
        place.mkdir(exist_ok=True)
        path = place / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(0o640)
        return path

    def run(self) -> FileReport:
        return ingest("", SYSTEM)

    def names(self, folder: str) -> list[str]:
        """Everything below a folder, `.claimed` included, links too."""
        root = self.base / folder
        found = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
        return sorted(str(path.relative_to(root)) for path in found if path.name != ".lock")

    def reason(self, name: str) -> str:
        return (self.base / "quarantine" / f"{name}.reason.txt").read_text()

    def replay(self, name: str) -> None:
        os.rename(self.base / "quarantine" / name, self.inbox / name)

    def heart_rates(self) -> list[int]:
        return [
            row.heart_rate for row in self.clinic.rows("SELECT heart_rate FROM vital_sign ORDER BY recorded_at, id")
        ]


def point_to(base: Path, monkeypatch: Any) -> None:
    (base / "inbox").mkdir(parents=True)
    monkeypatch.setenv("LABWIRE_IOT_INBOX_DIR", str(base / "inbox"))
    monkeypatch.setenv("LABWIRE_IOT_DEFAULT_TENANT", "clinic")
    settings.cache_clear()
