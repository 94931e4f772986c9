"""Parsers asked by tests: what they show, and what a process has used."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.imaging.ports import Rendering
from tasks.clients.dicom.pool import ParserPool

MEGABYTE = 1024 * 1024


def peak(pid: int, what: str) -> int:
    """Bytes, as the kernel counts them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def shown(parsers: ParserPool, path: Path, rendering: Rendering | None = None) -> NDArray[Any]:
    """The picture's pixels."""
    with Image.open(io.BytesIO(parsers.render(path, rendering or Rendering()))) as picture:
        return np.asarray(picture).astype(int)
