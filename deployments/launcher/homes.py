"""Homes of embedded servers that lie outside a state folder: whose they are, and those nobody will come back to."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

KEPT_ROOT = Path("/var/lib/labwire")
KEPT_PREFIX = "postgres-"
OWNER = "state-folder"
HELD = "in-use"

_holding: list[IO[str]] = []
"""Closed by the end of the process, which so lets its homes go."""


def make_throw_away(prefix: str, parent: Path | None = None) -> Path:
    """A new home that this process holds until it ends; those of the prefix whose process has ended are removed."""
    root = parent or Path(tempfile.gettempdir())
    for held in root.glob(f"{prefix}*/{HELD}"):
        _remove_if_left(held)
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    home.chmod(0o755)  # as root the server runs as another user
    file = (home / f".{HELD}").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    _holding.append(file)
    (home / f".{HELD}").rename(home / HELD)  # seen by others only once it is held
    return home


def make_kept(parent: Path, state_dir: Path) -> Path:
    """A new home that says which state folder it belongs to."""
    home = Path(tempfile.mkdtemp(prefix=KEPT_PREFIX, dir=parent))
    home.chmod(0o755)
    (home / OWNER).write_text(f"{state_dir.absolute()}\n")
    return home


def kept(parent: Path = KEPT_ROOT) -> Iterator[tuple[Path, Path]]:
    """Each kept home with the state folder it belongs to."""
    for note in sorted(parent.glob(f"{KEPT_PREFIX}*/{OWNER}")):
        yield note.parent, Path(note.read_text().strip())


def abandoned(parent: Path = KEPT_ROOT) -> list[tuple[Path, Path]]:
    """Kept homes whose state folder is gone or has another by now. They may hold data: a person removes them."""
    return [(home, owner) for home, owner in kept(parent) if _named_by(owner) != home]


def remove(home: Path) -> None:
    """Delete a stopped server's home."""
    shutil.rmtree(home, ignore_errors=True)


def _named_by(state_dir: Path) -> Path | None:
    try:
        return Path((state_dir / "postgres-home").read_text().strip())
    except OSError:
        return None


def _remove_if_left(held: Path) -> None:
    try:
        with held.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(held.parent)
    except OSError:  # held by a process that lives, somebody else's, or just removed
        return
