"""Files on their way into storage: their checksum, their durability, and the key they get."""

import hashlib
import os
from pathlib import Path

from models.imaging.ports import KeyTakenError, ObjectStorage
from models.imaging.stores.writing import Bytes
from models.imaging.uids import safe_name


def keep(storage: ObjectStorage, each: Bytes, path: Path, mime_type: str) -> str:
    """Put the object under its key; beside what lies there without a row, where other bytes do. The key it has."""
    try:
        storage.put(each.key, path, sha256=each.checksum, size=each.size, mime_type=mime_type)
        return each.key
    except KeyTakenError:
        folder, _, name = each.key.rpartition("/")
        key = f"{folder}/{safe_name(f'{each.checksum[:16]}-{name}')}"
        storage.put(key, path, sha256=each.checksum, size=each.size, mime_type=mime_type)
        return key


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
