"""The settings a state folder keeps (`environment`, mode 0600) and the environment every part is started with.

Secrets are made once, on the first start, and only those the process environment does not give.
"""

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.launcher.files import StateFolder, write_atomically
from deployments.launcher.outside import prefect_url
from models.kernel.settings import Settings

KEY_BYTES = 32
HEADER = "# Written by labwire at every start. Secrets stay as they are; keep this file private and in your backups.\n"

# Prefect settings of a person's own that would lead our parts to another server or profile, and the launcher's line to
# systemd, on which a part (Debian's PostgreSQL for one) would speak for the whole hub.
FOREIGN = (
    "NOTIFY_SOCKET",
    "PREFECT_API_KEY",
    "PREFECT_PROFILE",
    "PREFECT_ACTIVE_PROFILE",
    "PREFECT_PROFILES_PATH",
    "PREFECT_LOGGING_SETTINGS_PATH",
)

# How Prefect is run here, unless the environment says otherwise.
PREFECT_DEFAULTS = {
    # The shortest allowed: the automation for lost runs waits for three missed ones.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # Runs planned ahead: after downtime each of them would be late, so few.
    "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT5M",
    # Retention, off by default when self-hosted: runs with their logs 30 days, events 7, heartbeats 1.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 86400),
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": '{"prefect.flow-run.heartbeat": 86400}',
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}


def read_environment(folder: StateFolder) -> dict[str, str]:
    """The stored settings; empty before the first start."""
    if not folder.environment.exists():
        return {}
    pairs = {}
    for line in folder.environment.read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            pairs[name.strip()] = value.strip().strip("'")
    return pairs


def write_environment(folder: StateFolder, values: Mapping[str, str]) -> None:
    """Store the settings, whole or not at all."""
    lines = [f"{name}='{value}'\n" for name, value in sorted(values.items())]
    write_atomically(folder.environment, HEADER + "".join(lines))


def with_secrets(stored: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The stored settings, completed by the secrets neither stored nor given by the process environment."""
    makers: dict[str, Callable[[], str]] = {
        "LABWIRE_SECRET_KEY": lambda: secrets.token_hex(KEY_BYTES),
        "LABWIRE_AUDIT_KEY": lambda: secrets.token_hex(KEY_BYTES),
        "LABWIRE_PREFECT_AUTH_STRING": lambda: f"labwire:{secrets.token_urlsafe(24)}",
    }
    complete = dict(stored)
    for name, make in makers.items():
        if name not in given and name not in complete:
            complete[name] = make()
    return complete


def part_environment(folder: StateFolder, options: Settings, session: Mapping[str, str], auth: str) -> dict[str, str]:
    """What every part starts with: our settings, Prefect pointed at our server, all writing kept below the folder."""
    own = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    prefect_api = options.prefect_api_url or f"http://127.0.0.1:{options.prefect_port}/api"
    forced = {
        "LABWIRE_STATE_DIR": str(folder.root),
        "LABWIRE_API_HOST": options.api_host,
        "LABWIRE_API_PORT": str(options.api_port),
        "LABWIRE_PREFECT_PORT": str(options.prefect_port),
        "LABWIRE_PREFECT_API_URL": prefect_api,
        "LABWIRE_WORK_POOL": options.work_pool,
        "PREFECT_API_URL": prefect_api,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_HOME": str(folder.prefect),
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "TMPDIR": str(folder.temporary),
        "XDG_CACHE_HOME": str(folder.root / "cache"),
        "XDG_CONFIG_HOME": str(folder.root / "config"),
        "XDG_DATA_HOME": str(folder.root / "data"),
        "PYTHONUNBUFFERED": "1",
        # Flow runs are started as `python -m ...`: by the interpreter that runs the launcher.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), own.get("PATH", os.defpath)]),
    }
    return {**PREFECT_DEFAULTS, **own, **forced, **session}


def prefect_server_environment(folder: StateFolder, options: Settings, auth: str) -> dict[str, str]:
    """What the Prefect server starts with besides: its password, its page's files, and where its own tables lie."""
    port = options.prefect_port
    environment = {
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(folder.prefect / "ui"),
    }
    if options.prefect_database_url is not None:
        url = prefect_url(options.prefect_database_url.get_secret_value())
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = url
    return environment
