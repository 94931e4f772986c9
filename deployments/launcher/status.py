"""What a launcher says about itself in its state folder, and what of it is true at this moment."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from deployments.launcher import probes
from deployments.launcher.environment import read_environment
from deployments.launcher.files import StateFolder, write_atomically
from deployments.launcher.parts import PartState
from deployments.launcher.process import is_alive


@dataclass
class Status:
    """The launcher's file, `launcher.json`."""

    session: str
    pid: int
    started_at: str
    state: str = "starting"
    """starting, ready, stopping or stopped"""
    urls: dict[str, str] = field(default_factory=dict)
    postgres_home: str = ""
    parts: list[PartState] = field(default_factory=list)

    def write(self, folder: StateFolder) -> None:
        """Store it, whole or not at all."""
        write_atomically(folder.status, json.dumps(asdict(self), indent=2))


def read_status(folder: StateFolder) -> Status | None:
    """What the last launcher wrote; None when there was none. What another version added is passed over."""
    if not folder.status.exists():
        return None
    content: dict[str, Any] = json.loads(folder.status.read_text())
    parts = [PartState(**_known(PartState, part)) for part in content.pop("parts")]
    return Status(parts=parts, **_known(Status, content))


def _known(kind: type, content: dict[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in content.items() if name in names}


def present(folder: StateFolder) -> dict[str, Any]:
    """The whole state as plain data: URLs, and for each part port, process, log file and whether it answers now."""
    status = read_status(folder)
    is_running = status is not None and status.state != "stopped" and is_alive(status.pid)
    if status is None or not is_running:
        return {"state_dir": str(folder.root), "running": False, "ready": False, "state": "stopped", "pid": None}
    auth = read_environment(folder).get("LABWIRE_PREFECT_AUTH_STRING", "")
    parts = [asdict(part) | {"ready": _is_ready(part, auth)} for part in status.parts]
    return {
        "state_dir": str(folder.root),
        "running": True,
        "ready": status.state == "ready" and all(part["ready"] for part in parts),
        "state": status.state,
        "pid": status.pid,
        "started_at": status.started_at,
        "environment_file": str(folder.environment),
        "urls": status.urls,
        "parts": parts,
    }


def log_files(folder: StateFolder) -> list[Path]:
    """Every part's present log file."""
    return sorted(folder.logs.glob("*.log"))


def _is_ready(part: PartState, auth: str) -> bool:
    if part.is_step:
        return part.state == "done"
    if not is_alive(part.pid):
        return False
    if part.name == "prefect":
        return probes.is_answering(f"{part.url}/api/health", auth)
    if part.url:
        return probes.is_answering(f"{part.url}/readyz" if part.name.startswith("api") else part.url)
    return probes.is_accepting(part.port) if part.port else part.state == "ready"
