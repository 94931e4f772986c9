"""`make demo` on a fresh copy of the tree, with the system's own Python: as root from a private folder, and as anybody.

Needs a package index, and takes the time of a first set-up.
"""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.launcher.parts import ROOT

pytestmark = [pytest.mark.contract, pytest.mark.slow]

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
SECONDS = 600


def _require_tools() -> None:
    check = "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))"
    python = shutil.which("python3", path=SYSTEM_PATH)
    if python is None or subprocess.run([python, "-c", check], check=False, capture_output=True).returncode:
        pytest.skip("the system's own python3 is not 3.11 to 3.13 with venv")
    if shutil.which("make", path=SYSTEM_PATH) is None:
        pytest.skip("there is no make")


@pytest.fixture
def place() -> Iterator[Path]:
    """A private folder (0700) of its own right below the system's temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="labwire-fresh-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def _copy_tree(target: Path) -> None:
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _make_demo(place: Path, user: pwd.struct_passwd | None) -> subprocess.CompletedProcess[str]:
    for name in ("tree", "home", "tmp"):
        (place / name).mkdir()
    _copy_tree(place / "tree")
    if user is not None:
        for path in [place, *place.rglob("*")]:
            os.chown(path, user.pw_uid, user.pw_gid)
    given = {name: value for name, value in os.environ.items() if not name.startswith(("LABWIRE_", "PREFECT_", "UV_"))}
    return subprocess.run(
        ["make", "demo"],
        cwd=place / "tree",
        env=given | {"PATH": SYSTEM_PATH, "HOME": str(place / "home"), "TMPDIR": str(place / "tmp")},
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _judge(place: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-4000:]
    assert "every outcome was right" in done.stdout
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert list((place / "home").iterdir()) == []
    assert list((place / "tmp").iterdir()) == []
    assert _processes_of(place) == []


def _processes_of(place: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if entry.name.isdigit() and str(place) in line + str((entry / "cwd").resolve()):
                found.append(line)
        except OSError:
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_demo_runs_as_root_from_a_private_folder(place: Path) -> None:
    _require_tools()
    before = set(Path("/tmp").glob("labwire-postgres-*"))
    _judge(place, _make_demo(place, None))
    assert set(Path("/tmp").glob("labwire-postgres-*")) <= before


def test_the_demo_runs_as_an_ordinary_user(place: Path) -> None:
    _require_tools()
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("nobody")
        except KeyError:
            pytest.skip("we are root and there is no user 'nobody' to become")
    _judge(place, _make_demo(place, user))
