"""Whether what a warm parent has imported is still what lies on the disk."""

import os
import site
from collections.abc import Iterator
from pathlib import Path

from deployments.launcher.parts import ROOT
from deployments.worker.warm.packages import source_folders

SUFFIXES = (".py", ".json", ".txt", ".html", ".sql")
SETTINGS = (".env", "prefect.toml", "pyproject.toml")
"""Files of the working folder that Prefect reads settings from."""
Mark = tuple[str, int, int]
"""A path, when it was changed (ns), its size."""


def fingerprint() -> int:
    """Changes with any source file of ours, any installed package, and Prefect's profile; takes a few ms."""
    marks = [_mark(Path(folder)) for folder in site.getsitepackages()]
    marks.append(_mark(Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser() / "profiles.toml"))
    marks.extend(_mark(ROOT / name) for name in SETTINGS)
    for folder in source_folders():
        marks.extend(_sources(folder))
    return hash(tuple(marks))


def _sources(folder: str) -> Iterator[Mark]:
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _sources(entry.path)
            elif entry.name.endswith(SUFFIXES):
                status = entry.stat()
                yield entry.path, status.st_mtime_ns, status.st_size


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path), status.st_mtime_ns, status.st_size
