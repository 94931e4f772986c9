"""Under systemd the hub says when it is ready and when it stops, and its unit file is sound."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.launcher.parts import ROOT
from deployments.launcher.service_manager import tell
from tests.launcher.running import running_hub

UNIT = ROOT / "deployments" / "systemd" / "labwire.service"


def _listener(path: Path) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(str(path))
    channel.settimeout(5)
    return channel


@pytest.mark.unit
def test_messages_reach_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _listener(tmp_path / "notify") as channel:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert tell("READY=1", "STATUS=pages at http://127.0.0.1:8000")
        assert channel.recv(1000) == b"READY=1\nSTATUS=pages at http://127.0.0.1:8000"


@pytest.mark.unit
@pytest.mark.parametrize("address", ["", "nowhere", "/nowhere/notify", "@labwire-nobody-listens"])
def test_without_a_service_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not tell("READY=1")


@pytest.mark.unit
def test_the_unit_file_is_sound(tmp_path: Path) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/labwire/.venv/bin/labwire", sys.executable))
    done = subprocess.run([checker, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.contract
@pytest.mark.slow
def test_the_hub_reports_ready_and_stopping(tmp_path: Path) -> None:
    notify = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    with _listener(tmp_path / "notify") as channel, running_hub(tmp_path, notify) as hub:
        assert channel.recv(1000).startswith(b"READY=1")
        assert hub.stop() == 0
        assert channel.recv(1000) == b"STOPPING=1"
