"""How a run of these tests is laid out: where its files lie, what shares a process, which PostgreSQL it is about."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import psycopg2
import pytest

from tests import memory, order
from tests.conftest import Database


class Place(NamedTuple):
    """What os.statvfs answers, in part."""

    f_flag: int
    f_bavail: int
    f_frsize: int


ROOMY = Place(0, 100, 1 << 30)


@pytest.mark.unit
def test_files_of_one_hub_or_prefect_server_share_a_process_and_begin() -> None:
    hubs = ("tests/launcher/test_hub.py", "tests/launcher/test_lost_runs.py")
    servers = ("tests/alerts/test_flow.py", "tests/vitals/test_files_run.py")
    assert [order.together(file) for file in (*hubs, *servers)] == ["hub", "hub", "prefect", "prefect"]
    assert order.together("tests/kernel/test_audit.py") == "tests/kernel/test_audit.py"
    files = ["tests/kernel/test_audit.py", "tests/browser/test_alerts.py", f"tests/{order.LONG[0]}", *servers, *hubs]
    assert sorted(files, key=order.rank) == [*hubs, *servers, files[2], files[1], files[0]]
    assert [name for name in order.LONG if not (order.ROOT / "tests" / name).is_file()] == []


@pytest.mark.unit
def test_files_lie_in_memory_and_go_with_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(memory, "MEMORY", tmp_path)
    monkeypatch.setattr(memory, "_is_roomy", lambda folder: True)
    monkeypatch.setenv("TMPDIR", "/tmp")
    assert memory.move_in() is None, "a place that was chosen is obeyed"
    monkeypatch.delenv("TMPDIR")
    folder = memory.move_in()
    assert folder is not None
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o755, "as root PostgreSQL runs as another user"
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(folder)
    memory.move_out(folder)
    assert not folder.exists()
    assert "TMPDIR" not in os.environ


@pytest.mark.unit
@pytest.mark.parametrize("lacking", [Place(os.ST_NOEXEC, 100, 1 << 30), Place(0, 5, 1 << 30)], ids=["noexec", "small"])
def test_a_place_without_room_or_programs_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: Place
) -> None:
    monkeypatch.setattr(memory, "_available_bytes", lambda: 100 << 30)
    monkeypatch.setattr(os, "statvfs", lambda folder: ROOMY)
    assert memory._is_roomy(tmp_path)
    monkeypatch.setattr(memory, "_available_bytes", lambda: 5 << 30)
    assert not memory._is_roomy(tmp_path), "the memory is in use"
    monkeypatch.setattr(memory, "_available_bytes", lambda: 100 << 30)
    monkeypatch.setattr(os, "statvfs", lambda folder: lacking)
    assert not memory._is_roomy(tmp_path)


@pytest.mark.store
def test_the_server_is_the_one_that_was_named(database: Database) -> None:
    folder = os.environ.get("LABWIRE_TEST_POSTGRES_BIN")
    if folder is None:
        pytest.skip("LABWIRE_TEST_POSTGRES_BIN names none")
    told = subprocess.run([f"{folder}/postgres", "--version"], check=True, capture_output=True, text=True).stdout
    connection = psycopg2.connect(database.superuser_url)
    assert str(connection.server_version // 10000) == told.split()[2].partition(".")[0]
    connection.close()
