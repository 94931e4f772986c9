"""Environment file, remembered ports, logs and the server's home: what lies in a state folder."""

import json
import os
import stat
from pathlib import Path

import pytest

from deployments.launcher import demo, homes, logs, postgres
from deployments.launcher.environment import (
    part_environment,
    prefect_server_environment,
    read_environment,
    with_secrets,
    write_environment,
)
from deployments.launcher.files import StateFolder
from deployments.launcher.ports import free_port, listen, remembered_port
from models.kernel.errors import ConfigError
from models.kernel.settings import Settings, read_settings

pytestmark = pytest.mark.unit


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "state")
    made.create()
    return made


def test_settings_written_are_settings_read(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABWIRE_SECRET_KEY")
    values = with_secrets({"LABWIRE_DATABASE_URL": "postgresql://a:p#q$'@h/x".replace("'", "")}, {})
    write_environment(folder, values)
    assert read_environment(folder) == values
    assert stat.S_IMODE(folder.environment.stat().st_mode) == 0o600
    settings = read_settings(folder.root)
    assert settings.required("database_url") == values["LABWIRE_DATABASE_URL"]
    assert settings.key("secret_key").hex() == values["LABWIRE_SECRET_KEY"]


def test_secrets_are_made_once_and_never_over_given_ones() -> None:
    first = with_secrets({}, {"LABWIRE_AUDIT_KEY": "given"})
    assert "LABWIRE_AUDIT_KEY" not in first
    assert with_secrets(first, {"LABWIRE_AUDIT_KEY": "given"}) == first
    assert with_secrets({}, {}) != with_secrets({}, {})


def test_parts_write_below_the_state_folder_and_follow_no_foreign_prefect(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "of somebody's cloud account")
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere.example/api")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "7")
    environment = part_environment(folder, Settings(_env_file=None), {}, "user:word")
    assert "PREFECT_API_KEY" not in environment
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4200/api"
    assert environment["PREFECT_WORKER_QUERY_SECONDS"] == "7"
    for name in ("PREFECT_HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        assert Path(environment[name]).is_relative_to(folder.root)
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert environment["DO_NOT_TRACK"] == "1"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_prefects_own_database_may_be_postgresql(folder: StateFolder, scheme: str) -> None:
    options = Settings(_env_file=None, prefect_database_url=f"{scheme}://u:p@h:1/prefect")
    environment = prefect_server_environment(folder, options, "user:word")
    assert environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://u:p@h:1/prefect"
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in prefect_server_environment(
        folder, Settings(_env_file=None), "user:word"
    )


def test_a_remembered_port_stays_until_it_is_taken(folder: StateFolder) -> None:
    port = remembered_port(folder.ports, "postgres")
    assert remembered_port(folder.ports, "postgres") == port
    assert remembered_port(folder.ports, "mailbox") != port
    with listen("127.0.0.1", port, "X"):
        other = remembered_port(folder.ports, "postgres")
    assert other != port
    assert json.loads(folder.ports.read_text())["postgres"] == other


def test_a_taken_port_names_the_variable() -> None:
    port = free_port()
    with listen("127.0.0.1", port, "X"), pytest.raises(ConfigError, match="LABWIRE_SOME_PORT"):
        listen("127.0.0.1", port, "LABWIRE_SOME_PORT")


def test_the_folder_is_held_by_one_at_a_time(folder: StateFolder) -> None:
    with folder.lock(), pytest.raises(ConfigError, match=str(os.getpid())):
        folder.lock()
    folder.lock().close()


def test_a_folder_that_cannot_be_made_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="LABWIRE_STATE_DIR"):
        StateFolder(tmp_path / "file" / "state").create()


def test_a_long_log_is_kept_and_emptied_in_place(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    descriptor = logs.open_log(path)
    for turn in range(8):
        os.write(descriptor, b"x" * 99 + str(turn).encode())
        assert logs.rotate(path, most_bytes=50)
    assert not logs.rotate(path, most_bytes=50)
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert path.read_text() == "after\n"
    kept = sorted(file.name for file in tmp_path.iterdir())
    assert kept == ["part.log", *(f"part.log.{number}" for number in range(1, logs.KEPT_FILES + 1))]
    assert (tmp_path / "part.log.1").read_text().endswith("7")
    assert logs.last_lines(path, 5) == ["after"]


def test_following_a_log_survives_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "part.log"
    path.write_text("old\n")
    added = logs.follow(path, from_start=True, poll_seconds=0.01)
    assert next(added) == "old\n"
    with path.open("a") as file:
        file.write("more\n")
    assert next(added) == "more\n"
    logs.rotate(path, most_bytes=1)
    path.write_text("cut\n")
    assert next(added) == "cut\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a home for PostgreSQL outside the state folder")
def test_as_root_the_server_lies_where_its_user_can_reach_it(folder: StateFolder) -> None:
    modes = {path: path.stat().st_mode for path in folder.root.resolve().parents}
    home = postgres.default_home(folder.root, throw_away=True)
    try:
        postgres.prepare(postgres.Cluster(home, free_port()), durable=False)
        assert postgres.default_home(folder.root) == home
        assert not home.is_relative_to(folder.root)
        assert all(part.stat().st_mode & 0o001 for part in (home, *home.parents))
        assert {path: path.stat().st_mode for path in folder.root.resolve().parents} == modes
    finally:
        homes.remove(home)
    with pytest.raises(ConfigError, match="is gone"):
        postgres.default_home(folder.root)


def test_a_killed_servers_lock_file_that_names_another_process_is_removed(tmp_path: Path) -> None:
    cluster = postgres.Cluster(tmp_path, free_port())
    (cluster.data).mkdir()
    (cluster.data / "labwire-ready").touch()
    lock = cluster.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{cluster.data}\n")  # alive, but no PostgreSQL
    postgres._forget_earlier_server(cluster.data)
    assert not lock.exists()


def test_every_setting_of_the_demo_is_taken_back_without_it(folder: StateFolder) -> None:
    ports = demo.choose_ports(folder)
    assert demo.choose_ports(folder) == ports
    settings = demo.demo_settings(ports, {})
    assert set(settings) == set(demo.NAMES)
    assert demo.demo_settings(ports, settings) == settings
