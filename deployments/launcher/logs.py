"""The parts' log files: appended to by the parts themselves, kept small by the launcher."""

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 10 * 1024 * 1024
KEPT_FILES = 5


def log_file(folder: Path, name: str) -> Path:
    """Where the part `name` writes to."""
    return folder / f"{name}.log"


def open_log(path: Path) -> int:
    """A descriptor a part may append to; the file stays private."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def rotate(path: Path, most_bytes: int = MOST_BYTES) -> bool:
    """When the file is too long, keep it as NAME.log.1 (older ones move on, the fifth goes) and empty it in place.

    The parts hold the file open for appending, so it is copied and cut; a line written between the two is lost. Where
    the disk has no room for the copy it is cut all the same.
    """
    if not path.exists() or path.stat().st_size <= most_bytes:
        return False
    for number in range(KEPT_FILES - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    copy = path.with_name(f"{path.name}.1")
    try:
        shutil.copyfile(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)
    os.truncate(path, 0)
    return True


def append(path: Path, line: str) -> None:
    """Add a line of the launcher's own, where there is room for it."""
    try:
        with path.open("a") as file:
            file.write(f"{line}\n")
    except OSError:
        return


def last_lines(path: Path, count: int) -> list[str]:
    """The file's last lines; none when there is no file."""
    if not path.exists():
        return []
    with path.open(errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=count)]


def follow(path: Path, *, from_start: bool = False, poll_seconds: float = 0.3) -> Iterator[str]:
    """What is appended to the file, for ever; a file that was cut is read from its beginning."""
    place = 0 if from_start or not path.exists() else path.stat().st_size
    while True:
        size = path.stat().st_size if path.exists() else 0
        if size < place:
            place = 0
        if size > place:
            with path.open("rb") as file:
                file.seek(place)
                content = file.read(size - place)
            place += len(content)
            yield content.decode(errors="replace")
        else:
            sys.stdout.flush()
            time.sleep(poll_seconds)
