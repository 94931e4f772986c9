"""What imaging needs from where bytes lie and from who reads image files: tasks/clients/storage and dicom fulfil it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from models.kernel.errors import LabwireError, RefusedError

DICOM, JPEG, PNG = "application/dicom", "image/jpeg", "image/png"


class KeyTakenError(LabwireError):
    """Other bytes lie under this key: nothing was written."""


class MissingObjectError(LabwireError):
    """No object lies under this key."""


class NotAnImageError(RefusedError):
    """The file is not one that is taken; `rule` names why (`executable`, `length`, `deflate_bomb` ...)."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message, field="file")
        self.rule = rule


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its backend knows it; `size` in bytes."""

    key: str
    size: int
    modified_at: float
    """Seconds since 1970."""


class ObjectStorage(Protocol):
    """One backend, bound to one tenant's root or prefix: a key never leads out of it. Thread-safe.

    RetryableError where the backend cannot be reached or has no room; ConfigError where it refuses our keys.
    """

    name: str
    """`filesystem` or `s3`."""

    def put(self, key: str, source: Path, *, sha256: str, size: int, mime_type: str) -> bool:
        """Keep the content of `source` under `key`, durably, where nothing lies yet; True when it is new.

        False when the same bytes lie there already; KeyTakenError when others do. Nothing is ever replaced, and a
        reader never sees half an object. `sha256` is in hex; on the filesystem backend `source` may be taken over by a
        hard link when it lies on the same file system, so nobody may write to it afterwards.
        """

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes, or `length` of them from `start`, in pieces of at most 256 KB; MissingObjectError."""

    def fetch(self, key: str, target: Path) -> None:
        """Write a copy to `target`, a new file; MissingObjectError."""

    def local_path(self, key: str) -> Path | None:
        """Where the object lies as a file of this machine, to be read only; None where there is no such thing."""

    def stat(self, key: str) -> StoredObject | None:
        """The object's size and age; None where there is none."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of keys."""

    def remove(self, key: str) -> None:
        """For `move-objects` alone, after the read-back at the other backend. No error where there is none."""

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove what puts that were interrupted so long ago left behind; never an object. How many such things."""

    def signed_url(self, key: str, *, seconds: int, filename: str, mime_type: str) -> str | None:
        """A GET-only address that expires; None where the backend has none, and the API signs one of its own."""


@dataclass(frozen=True, slots=True)
class Instance:
    """What a DICOM file says of itself. Texts are decoded by the file's charset and trimmed; absent ones are empty."""

    study_uid: str
    series_uid: str
    image_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    patient_name: str = ""
    """As DICOM writes it: `Family^Given^Middle`; the first (alphabetic) component group."""
    patient_code: str = ""
    """PatientID (0010,0020)."""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    """YYYYMMDD or empty; what is neither is in `tags` alone."""
    study_time: str = ""
    study_description: str = ""
    referring_physician: str = ""
    modality: str = ""
    series_number: int | None = None
    series_description: str = ""
    body_part: str = ""
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int = 1
    tags: Mapping[str, Any] = field(default_factory=dict)
    """A bounded choice of the file's attributes by keyword, for `image_metadata`: JSON values, no floats that are not
    finite, no text beyond 1,000 characters."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG or PNG; `exif` are its EXIF fields by name as JSON values, bounded likewise."""

    mime_type: str
    width: int
    height: int
    exif: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """What a picture needs to become a Secondary Capture; dates as YYYYMMDD, times as HHMMSS."""

    study_uid: str
    series_uid: str
    image_uid: str
    patient_name: str = ""
    patient_code: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    modality: str = "OT"
    series_number: int = 1
    series_description: str = ""
    instance_number: int = 1


@dataclass(frozen=True, slots=True)
class Description:
    """All of a DICOM file but its pixels.

    `metadata` is the instance in the DICOM JSON Model (PS3.18, F), UTF-8, zlib-compressed: values of more than 1 KB of
    binary VRs and the pixels stand there as `BulkDataURI`, a path that begins at `/dicom-web/studies/`.
    `bulk` maps the path behind `/bulkdata/` (`7FE00010`, `00880200/1/...`) to offset and length in the file.
    `frames` has the pieces of each frame, offset and length; of native pixels one piece.
    `is_complete` is False where the file is compressed as a whole (deflated), or where its frames begin within a byte
    or cannot be told apart: then there are no offsets, and frames and bulk data are asked of the parser.
    """

    metadata: bytes
    transfer_syntax_uid: str
    frames: Sequence[Sequence[tuple[int, int]]]
    bulk: Mapping[str, tuple[int, int]]
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class Rendering:
    """How a frame is to be shown: window in the modality's units (None: the file's own, or its whole range).

    `viewport` is the largest width and height in pixels; the picture keeps its proportions.
    """

    frame: int = 1
    window_center: float | None = None
    window_width: float | None = None
    viewport: tuple[int, int] | None = None
    mime_type: str = PNG
    quality: int = 90


class ImageParser(Protocol):
    """Reads image files in processes of its own, each bounded in memory and time.

    NotAnImageError for a file that is not taken. HeldError (rules `parser_died`, `parser_time`) where the process
    ended or took too long: it has been replaced, and the file is for a person to look at; so it is where the parser met
    what it was not written for (`parser_failed`). RetryableError when the pool is busy for too long.
    MissingObjectError where no file lies at `path`.
    """

    def read(self, path: Path) -> Instance | Picture:
        """What the file is and says, by its content alone; its pixels are not read, its lengths are."""

    def describe(self, path: Path) -> Description:
        """Everything but the pixels, and where they lie."""

    def bulk(self, path: Path, place: str) -> bytes:
        """The value at a path of `Description.bulk`, for files that are not complete; NotAnImageError (`bulk`)."""

    def wrap(self, path: Path, target: Path, wrapping: Wrapping) -> None:
        """Write the picture as a Secondary Capture to `target`, a new file; the same input gives the same bytes."""

    def render(self, path: Path, rendering: Rendering) -> bytes:
        """One frame as PNG or JPEG; NotAnImageError (`no_pixels`, `frame`, `codec`) where that is not possible."""

    def pixels(self, path: Path, frame: int) -> bytes:
        """One frame's bytes in the file's transfer syntax; little endian explicit where the file is deflated."""
