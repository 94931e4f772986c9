"""Objects of image storage as flows look at them: read back, copied into the spool, named in tables."""

import hashlib
from pathlib import Path

from models.imaging.files import sync_file
from models.imaging.ports import MissingObjectError, ObjectStorage
from models.imaging.stores.checking import KeptImage
from tasks.clients.storage.spool import Spool

CORRUPT, MISSING = "corrupt", "missing"


def content_of(storage: ObjectStorage, key: str) -> tuple[str, int]:
    """SHA-256 in hex and size of what is read back; MissingObjectError."""
    digest, size = hashlib.sha256(), 0
    for piece in storage.read(key):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def problem_of(storage: ObjectStorage, image: KeptImage) -> str | None:
    """What is wrong with the image's objects: `missing`, `corrupt`, or nothing."""
    found = None
    for key, checksum, size, _ in image.objects:
        try:
            if content_of(storage, key) != (checksum, size):
                found = CORRUPT
        except MissingObjectError:
            return MISSING
    return found


def fetched(storage: ObjectStorage, key: str, spool: Spool) -> Path:
    """A durable copy in the spool; MissingObjectError."""
    path = spool.fresh()
    try:
        storage.fetch(key, path)
        sync_file(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def key_digest(key: str) -> str:
    """The first digits of the key's SHA-256: it holds the file's name."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]
