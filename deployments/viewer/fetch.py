"""Fetch our OHIF once: archive by npm, checked, prepared beside its place, moved there whole.

`python -m deployments.viewer.fetch` is what set-up calls; `labwire viewer fetch` is the same for an installed package.
"""

import shutil
import sys
import tempfile
import time
from pathlib import Path

from api.imaging import ohif_files
from api.imaging.ohif_files import expected_stamp, ohif_folder, stamp_of
from deployments.viewer import npm
from deployments.viewer.prepare import check_archive, prepare
from models.kernel.errors import ConfigError, LabwireError

WORK = ".ohif-"
"""How the folders begin in which it is made."""
LEFT_BEHIND_SECONDS = 3600
"""A work folder this old belongs to a fetch that was killed."""


def fetch(archive: Path | None = None, *, again: bool = False) -> bool:
    """See that the viewer's files are there; False where they were already.

    `archive` is one that was brought by hand; it is checked like the registry's. Errors leave the folder as it was.
    """
    folder = ohif_folder()
    if not again and stamp_of(folder) == expected_stamp():
        return False
    if folder.exists() and stamp_of(folder) is None and any(folder.iterdir()):
        raise ConfigError(f"{folder} holds something else than a fetched viewer; LABWIRE_OHIF_DIR names another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        with tempfile.TemporaryDirectory(prefix=WORK, dir=folder.parent) as work:
            _make(archive, Path(work), folder)
    except OSError as error:
        raise ConfigError(f"{folder} could not be written ({error.strerror})") from None
    return True


def _make(archive: Path | None, work: Path, folder: Path) -> None:
    packed = archive or npm.pack(f"{ohif_files.PACKAGE}@{ohif_files.VERSION}", work)
    check_archive(packed, ohif_files.INTEGRITY)
    prepare(packed, work / "made")
    if folder.exists():
        folder.rename(work / "before")
    (work / "made").rename(folder)


def _sweep(parent: Path) -> None:
    for left in parent.glob(f"{WORK}*"):
        if time.time() - left.stat().st_mtime > LEFT_BEHIND_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def main() -> int:
    """For set-up: one line of what came of it; 1 where the viewer is not there."""
    try:
        is_new = fetch()
    except LabwireError as error:
        sys.stderr.write(f"labwire: no OHIF viewer: {error}\n")
        sys.stderr.write("labwire: the light viewer serves instead; `labwire viewer fetch` tries again\n")
        return 1
    if is_new:
        sys.stdout.write(f"labwire: OHIF {ohif_files.VERSION} is in {ohif_folder()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
