"""Content to keep, and where: what the tests of image storage share."""

import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from models.imaging.ports import DICOM, ObjectStorage
from models.imaging.uids import new_uid, object_key


def new_slug() -> str:
    return f"lab-{secrets.token_hex(4)}"


def new_key(study_uid: str = "") -> str:
    return object_key(study_uid or new_uid(), new_uid(), new_uid(), "chest pa.dcm")


@dataclass(frozen=True)
class Content:
    """Bytes in a file, as a caller has them before a put."""

    data: bytes
    path: Path

    @classmethod
    def random(cls, folder: Path, size: int = 1000) -> "Content":
        path = folder / f"{secrets.token_hex(8)}.upload"
        data = os.urandom(size)
        path.write_bytes(data)
        return cls(data, path)

    @property
    def sha256(self) -> str:
        return sha256(self.data).hexdigest()

    def put(self, storage: ObjectStorage, key: str, *, sha256: str = "") -> bool:
        return storage.put(key, self.path, sha256=sha256 or self.sha256, size=len(self.data), mime_type=DICOM)


def read(storage: ObjectStorage, key: str) -> bytes:
    return b"".join(storage.read(key))


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [one.key for one in storage.list(prefix)]
