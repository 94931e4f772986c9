"""Where a test run keeps its files: in memory, where there is enough of it.

A fresh database is some 870 files, which a file system on disk makes and removes at ten times the cost. What a test
proves of a killed process holds in memory too; what survives a power cut no test can see, on disk or off it.
"""

import os
import shutil
import tempfile
from pathlib import Path

from deployments.launcher import homes

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30
"""Free memory without which the disk is used: a whole run keeps up to 3 GB at once."""


def move_in() -> Path | None:
    """Let this process and those it starts make their temporary files in memory; None where they stay as they are.

    A TMPDIR that is set is obeyed. The folder belongs to this process: what a killed one left is removed here.
    """
    if "TMPDIR" in os.environ or not _is_roomy(MEMORY):
        return None
    folder = homes.make_throw_away("labwire-tests-", MEMORY)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder


def move_out(folder: Path) -> None:
    """Remove what the tests have made there."""
    del os.environ["TMPDIR"]
    tempfile.tempdir = None
    shutil.rmtree(folder, ignore_errors=True)


def _is_roomy(folder: Path) -> bool:
    """Whether programs can run from there, and the memory is really free: its file system may promise more."""
    try:
        place = os.statvfs(folder)
    except OSError:
        return False
    may_run = not place.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)
    return may_run and min(place.f_bavail * place.f_frsize, _available_bytes()) >= ROOM_BYTES


def _available_bytes() -> int:
    """The machine's free memory; 0 on another system than Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)
