"""Files on their way into storage: their checksum, their durability, and the key they get."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from models.imaging.ports import KeyTakenError, ObjectStorage
from models.imaging.stores.writing import Bytes
from models.imaging.uids import safe_name
from models.kernel.errors import ConfigError

MOST_NAMES = 100


def keep(storage: ObjectStorage, each: Bytes, path: Path, mime_type: str) -> str:
    """Put the object under its key, or beside what lies there where that is other bytes. The key it has.

    Objects that were found corrupt stay where they are: each restore goes under the next name, always in this order.
    """
    for key in _names(each):
        try:
            storage.put(key, path, sha256=each.checksum, size=each.size, mime_type=mime_type)
        except KeyTakenError:
            continue
        return key
    raise ConfigError(f"image storage: other bytes lie under all {MOST_NAMES} names of an object")


def _names(each: Bytes) -> Iterator[str]:
    yield each.key
    folder, _, name = each.key.rpartition("/")
    mark = each.checksum[:16]
    yield f"{folder}/{safe_name(f'{mark}-{name}')}"
    for number in range(2, MOST_NAMES):
        yield f"{folder}/{safe_name(f'{mark}-{number}-{name}')}"


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make the file's content survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
