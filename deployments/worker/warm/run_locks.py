"""Which runs are at work: a locked file each, with the process id. Of a fork, /proc shows the parent's environment."""

import fcntl
import os
from pathlib import Path

FOLDER = "running"
"""Below the state folder."""


def hold(run_id: str) -> None:
    """Lock the run's file for as long as this process lives; without a state folder nothing is done."""
    folder = _folder()
    if folder is not None:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / run_id, os.O_WRONLY | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())


def at_work() -> set[str]:
    """The runs whose files are locked; the files of others are removed."""
    folder = _folder()
    found: set[str] = set()
    for path in folder.iterdir() if folder is not None and folder.is_dir() else ():
        descriptor = os.open(path, os.O_WRONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found.add(path.name)
        else:
            path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return found


def forget(run_id: str) -> None:
    """Remove the file of a run that has ended."""
    folder = _folder()
    if folder is not None:
        (folder / run_id).unlink(missing_ok=True)


def _folder() -> Path | None:
    state_dir = os.environ.get("LABWIRE_STATE_DIR")
    return Path(state_dir) / FOLDER if state_dir else None
