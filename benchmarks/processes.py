"""Processes below one another, and their memory as the kernel counts it."""

from collections import defaultdict
from pathlib import Path

MEGABYTE = 1024 * 1024


def children() -> dict[int, list[int]]:
    """The processes that each started."""
    found: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:  # ended meanwhile
                continue
            found[int(parent)].append(int(entry.name))
    return found


def below(pid: int, known: dict[int, list[int]]) -> list[int]:
    """Its children, and theirs."""
    found = list(known.get(pid, []))
    for child in list(found):
        found += below(child, known)
    return found


def status_mb(pid: int, name: str) -> float | None:
    """A figure of `/proc/PID/status`, such as VmRSS; None where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
