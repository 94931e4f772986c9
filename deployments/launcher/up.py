"""`labwire up`: one launcher on one state folder, from the first secret to the last process stopped."""

import asyncio
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from deployments.launcher import demo, homes, hub, postgres, service_manager
from deployments.launcher.environment import part_environment, read_environment, with_secrets, write_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.hub import Plan
from deployments.launcher.outside import check_outside
from deployments.launcher.parts import PartState
from deployments.launcher.ports import check_free, listen, remembered_port
from deployments.launcher.process import SESSION_VARIABLE, end_session
from deployments.launcher.status import Status, read_status
from deployments.launcher.supervisor import StartError, Supervisor
from models.kernel.errors import ConfigError
from models.kernel.settings import Settings

Say = Callable[[str], None]
DATABASE_NAMES = {"LABWIRE_DATABASE_OWNER_URL": "labwire_owner", "LABWIRE_DATABASE_URL": "labwire_app"}
"""The embedded server's addresses in the environment file, and whose they are."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How this start differs from the usual one."""

    is_demo: bool | None = None
    """Whether demo data and simulated systems run beside the hub; None: only with the embedded database."""
    is_throw_away: bool = False
    """The state folder is removed at the end, and nothing in it is made safe against power loss."""


def run(say: Say, choices: Choices) -> int:
    """Start everything, stay until told to stop, stop everything. The exit code: 0 after a wanted stop."""
    if sys.platform != "linux":
        raise ConfigError("`labwire up` needs Linux: it relies on the kernel to end what it started")
    options = process_settings()
    folder = StateFolder(options.state_dir)
    with system_errors_in_one_line(folder):
        if choices.is_throw_away and folder.environment.exists():
            raise ConfigError(f"{folder.root} holds a hub already, and --throw-away would delete it")
        folder.create()
        lock = folder.lock()
        tell = while_somebody_listens(say)
        try:
            _clear_the_past(folder, tell)
            plan = make_plan(folder, options, choices)
            return asyncio.run(_supervise(plan, choices, tell))
        finally:
            lock.close()
            if choices.is_throw_away:
                _remove(folder)


@contextmanager
def system_errors_in_one_line(folder: StateFolder) -> Iterator[None]:
    """What the system refuses (no space left, no permission) becomes a ConfigError with its words and the place."""
    try:
        yield
    except OSError as error:
        place = error.filename or f"in the state folder {folder.root}"
        raise ConfigError(f"{error.strerror or type(error).__name__}: {place}") from error


def while_somebody_listens(say: Say) -> Say:
    """`say`, but silent once nobody reads it any more: that a pipe was closed must not keep the parts from stopping."""

    def tell(line: str) -> None:
        with suppress(OSError):
            say(line)

    return tell


def process_settings() -> Settings:
    """The settings of the process environment alone: ports and the like do not stick from an earlier start."""
    try:
        return Settings(_env_file=None)
    except ValidationError as error:
        fields = ", ".join("LABWIRE_" + ".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        raise ConfigError(f"settings not acceptable: {fields.upper()}") from None


def make_plan(folder: StateFolder, options: Settings, choices: Choices) -> Plan:
    """Secrets, ports, the embedded cluster and the environment file: all that must be there before the first part."""
    stored = read_environment(folder)
    if options.api_processes < 1:
        raise ConfigError("LABWIRE_API_PROCESSES must be at least 1")
    is_outside = _is_given("LABWIRE_DATABASE_URL", stored)
    check_outside(_without_copies(options, stored))
    if not _is_given("LABWIRE_PREFECT_API_URL", stored):
        options = options.model_copy(update={"prefect_api_url": ""})
        check_free(options.prefect_port, "LABWIRE_PREFECT_PORT")
        if options.prefect_port == options.api_port:
            raise ConfigError("LABWIRE_API_PORT and LABWIRE_PREFECT_PORT are the same")
    api_socket = listen(options.api_host, options.api_port, "LABWIRE_API_PORT")
    values = with_secrets(stored, os.environ)
    cluster = None
    if is_outside:  # an earlier start's own server is not running
        values = {name: value for name, value in values.items() if name not in DATABASE_NAMES}
    else:
        home = postgres.default_home(folder.root, throw_away=choices.is_throw_away)
        cluster = postgres.Cluster(home, remembered_port(folder.ports, "postgres"))
        postgres.prepare(cluster, durable=not choices.is_throw_away)
        for name, role in DATABASE_NAMES.items():
            password = urlsplit(stored.get(name, "")).password
            values[name] = cluster.url(role, unquote(password) if password else secrets.token_urlsafe(24))
    is_demo = choices.is_demo if choices.is_demo is not None else cluster is not None
    plan = Plan(
        folder=folder,
        options=options,
        cluster=cluster,
        auth=os.environ.get("LABWIRE_PREFECT_AUTH_STRING") or values["LABWIRE_PREFECT_AUTH_STRING"],
        api_socket=api_socket,
        durable=not choices.is_throw_away,
        demo_ports=demo.choose_ports(folder) if is_demo else None,
    )
    if "LABWIRE_DEMO" in stored:
        values = {name: value for name, value in values.items() if name not in demo.NAMES}
    if plan.demo_ports is not None:
        values |= demo.demo_settings(plan.demo_ports, stored)
    values |= {
        "LABWIRE_API_PORT": str(options.api_port),
        "LABWIRE_PREFECT_PORT": str(options.prefect_port),
        "LABWIRE_PREFECT_API_URL": f"{plan.prefect_url}/api",
        "LABWIRE_WORK_POOL": options.work_pool,
    }
    write_environment(folder, values)
    return plan


async def _supervise(plan: Plan, choices: Choices, say: Say) -> int:
    began = time.monotonic()
    folder = plan.folder
    session = secrets.token_hex(8)
    environment = part_environment(folder, plan.options, {SESSION_VARIABLE: session}, plan.auth)
    status = Status(session=session, pid=os.getpid(), started_at=datetime.now(UTC).isoformat(), urls=hub.urls(plan))
    told: set[str] = set()

    def changed() -> None:
        status.parts = list(supervisor.states.values())
        status.write(folder)
        if status.state == "starting":
            _tell_progress(status.parts, told, time.monotonic() - began, say)

    parts = hub.hub_parts(plan)
    if plan.demo_ports is not None:
        parts += demo.demo_parts(folder, plan.demo_ports, read_environment(folder))
    supervisor = Supervisor(parts, environment=environment, log_folder=folder.logs, changed=changed)
    code = 0
    try:
        await supervisor.start()
        if not supervisor.stopping.is_set():
            status.state = "ready"
            changed()
            service_manager.tell("READY=1", f"STATUS=pages at {plan.api_url}")
            _tell_ready(plan, choices, time.monotonic() - began, say)
            await supervisor.stopping.wait()
    except (StartError, ConfigError) as error:
        say(f"labwire did not start: {error}")
        code = 1
    finally:
        status.state = "stopping"
        service_manager.tell("STOPPING=1")
        say("labwire: stopping")
        await supervisor.stop()
        status.state = "stopped"
        changed()
        plan.api_socket.close()
    return code


def _clear_the_past(folder: StateFolder, say: Say) -> None:
    """End what a killed launcher left running, and empty the folder of temporary files."""
    before = read_status(folder)
    if before is not None and before.state != "stopped":
        ended = end_session(before.session, grace_seconds=2)
        say(f"labwire: the last launcher did not stop cleanly; {ended} of its processes were still there")
    folder.clear_temporary()
    for home, owner in homes.abandoned():
        say(f"labwire: {home} is the database of {owner}, which is gone; delete it if nobody wants it back")


def _is_given(name: str, stored: dict[str, str]) -> bool:
    """Whether the process environment names this address, and not merely as a copy of our own environment file."""
    return bool(os.environ.get(name)) and os.environ[name] != stored.get(name)


def _without_copies(options: Settings, stored: dict[str, str]) -> Settings:
    """The settings without the embedded server's addresses, where somebody put our environment file into his own."""
    copies = {"database_url", "database_owner_url"}
    kept = {name for name in copies if _is_given(f"LABWIRE_{name.upper()}", stored)}
    return options.model_copy(update=dict.fromkeys(copies - kept))


def _remove(folder: StateFolder) -> None:
    marker = folder.root / "postgres-home"
    if marker.exists():
        homes.remove(postgres.default_home(folder.root))
    shutil.rmtree(folder.root, ignore_errors=True)


def _tell_progress(parts: list[PartState], told: set[str], seconds: float, say: Say) -> None:
    for part in parts:
        if part.state in ("ready", "done") and part.name not in told:
            told.add(part.name)
            say(f"  {part.name:<14}{part.state:<8}{seconds:5.1f} s")


def _tell_ready(plan: Plan, choices: Choices, seconds: float, say: Say) -> None:
    say(f"\nlabwire is ready after {seconds:.1f} s\n")
    for name, url in hub.urls(plan).items():
        say(f"  {name:<14}{url}")
    say(f"  {'Prefect login':<14}the value of LABWIRE_PREFECT_AUTH_STRING in {plan.folder.environment}")
    if plan.demo_ports is not None:
        password = read_environment(plan.folder)[demo.PASSWORD_NAME]
        say(f"  {'sign in':<14}technician@lagoon.example, password {password} (so do verifier, verifier2, doctor,")
        say(f"  {'':<14}nurse, radiology, supervisor, administrator; a second laboratory has the same people")
        say(f"  {'':<14}@harbour.example)")
    say(f"  {'logs':<14}{plan.folder.logs} (labwire logs NAME), state: labwire status\n")
    kept = "nothing is kept" if choices.is_throw_away else f"the data stays in {plan.folder.root}"
    say(f"Ctrl-C stops it; {kept}.")
