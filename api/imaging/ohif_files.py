"""Where our OHIF's files lie, and which package they come from: the one place to change for another version."""

import json
import sys
from pathlib import Path

from models.kernel.settings import settings

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
"""Of the package's archive, as npm writes it: SHA-512 in base64."""
PREPARATION = 1
"""Goes up whenever deployments/viewer/prepare.py makes other files from the same archive."""
ROOT_PATH = "/viewer/"
STAMP = "labwire.json"
"""Written last into the folder: names what lies there."""


def ohif_folder() -> Path:
    """LABWIRE_OHIF_DIR, else a folder of the Python environment this runs in, where set-up puts it."""
    return (settings().ohif_dir or Path(sys.prefix) / f"ohif-{VERSION}").expanduser().absolute()


def is_ohif_here() -> bool:
    """Whether the files of this version, prepared as this code expects them, can be served."""
    return stamp_of(ohif_folder()) == expected_stamp()


def expected_stamp() -> dict[str, object]:
    """What a folder holds when it is ours and up to date."""
    return {"package": PACKAGE, "version": VERSION, "integrity": INTEGRITY, "preparation": PREPARATION}


def stamp_of(folder: Path) -> object:
    """What a folder says it holds; None where it says nothing that can be read."""
    try:
        return json.loads((folder / STAMP).read_bytes())
    except (OSError, ValueError):
        return None
