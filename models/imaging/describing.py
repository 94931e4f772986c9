"""What images say of themselves is read once, kept, and joined series by series as viewers ask for it."""

import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from models.imaging.dicom_json import SYNTAX_TAG, UTF8, minimal
from models.imaging.files import sha256_of
from models.imaging.packing import inflated, packed
from models.imaging.ports import Description, ImageParser, MissingObjectError, NotAnImageError, ObjectStorage
from models.imaging.stores import descriptions
from models.imaging.stores.descriptions import Described
from models.imaging.stores.places import DicomObject, object_of, place_now
from models.imaging.stores.studies import note_problem
from models.imaging.tables import RadiologySeries
from models.kernel.audit import SYSTEM
from models.kernel.errors import HeldError
from models.kernel.tenancy import tenant_session

TOGETHER = 50
"""Descriptions that are written in one transaction."""
MOST_OF_SERIES = 100_000
ATTEMPTS = 3
"""At one object: its row is read again each time it was moved meanwhile."""
THREADS = 2
MAKERS = 2
"""Series whose metadata one process makes at a time: each holds a connection while another one works."""
_makers = threading.BoundedSemaphore(MAKERS)
_FIRST = b'{"00080005":' + json.dumps(UTF8).encode() + b","

StorageOf = Callable[[str], ObjectStorage]


@dataclass(frozen=True, slots=True)
class Describing:
    """One tenant's images, by the means of whoever asks. `make_path` names a new temporary file.

    `waiting` is entered around whatever may wait for the parser; what it raises is passed on.
    """

    tenant_id: int
    storage_of: StorageOf
    parser: ImageParser
    make_path: Callable[[], Path]
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext

    def series_metadata(self, series: RadiologySeries) -> bytes:
        """The gzip of the JSON array of the series' instances, made now where it is not there; RetryableError."""
        with tenant_session(self.tenant_id) as session:
            kept = descriptions.kept_metadata(session, self.tenant_id, series)
        if kept is not None:
            return kept
        with self.waiting(), _makers, tenant_session(self.tenant_id) as session:
            now = descriptions.lock_series(session, self.tenant_id, series.id)
            kept = descriptions.kept_metadata(session, self.tenant_id, now)
            if kept is not None:
                return kept
            self.describe_series(series.id)
            return descriptions.make_metadata(session, self.tenant_id, series.id, self._damaged(series.id))

    def study_marks(self, series: Sequence[RadiologySeries]) -> Sequence[str]:
        """What changes with the metadata of any of these series, made now where it is not there; RetryableError.

        Nothing while an image of them is damaged, or came just now: what is told then is not kept.
        """
        marks = self._marks(series)
        missing = [one for one in series if one.id not in marks]
        for one in missing:
            self.series_metadata(one)
        if missing:
            marks = self._marks(series)
        return [marks[one.id] for one in series] if len(marks) == len(series) else []

    def describe_series(self, series_id: int) -> int:
        """Describe those images of a series that are not; how many."""
        total = 0
        while count := self.describe_rows(self._undescribed(series_id=series_id)):
            total += count
        return total

    def describe_image(self, image_id: int) -> None:
        """Describe one image, unless it is."""
        rows = self._undescribed(image_id=image_id)
        with self.waiting():
            self.describe_rows(rows)

    def image_metadata(self, image_id: int) -> bytes:
        """The gzip of the JSON array of one image; what its row says while its object is damaged."""
        kept = self._kept(image_id)
        if kept is None:
            self.describe_image(image_id)
            kept = self._kept(image_id)
        if kept is not None:
            return kept
        return next((_said(row) for row in self._undescribed(image_id=image_id)), packed([(b"{}",)]))

    def describe_rows(self, rows: Sequence[Row[Any]]) -> int:
        """Describe these (study, series, image), some at a time; how many. Those that are damaged are left out."""
        if not rows:
            return 0
        count = 0
        with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="describes-images") as threads:
            for start in range(0, len(rows), TOGETHER):
                found = threads.map(self._described, rows[start : start + TOGETHER])
                described = [one for one in found if one is not None]
                count += len(described)
                with tenant_session(self.tenant_id) as session:
                    descriptions.keep(session, self.tenant_id, described)
        return count

    def _kept(self, image_id: int) -> bytes | None:
        with tenant_session(self.tenant_id) as session:
            return descriptions.metadata_of_image(session, self.tenant_id, image_id)

    def _marks(self, series: Sequence[RadiologySeries]) -> dict[int, str]:
        with tenant_session(self.tenant_id) as session:
            return descriptions.kept_marks(session, self.tenant_id, series)

    def _damaged(self, series_id: int) -> dict[int, bytes]:
        """What the rows say of those images of a series that cannot be described."""
        rows = self._undescribed(series_id=series_id, most=MOST_OF_SERIES, with_problem=True)
        return {row[2].id: _said(row) for row in rows}

    def _undescribed(self, **which: Any) -> Sequence[Row[Any]]:
        with tenant_session(self.tenant_id) as session:
            return descriptions.undescribed(session, self.tenant_id, **which)

    def _described(self, row: Row[Any]) -> Described | None:
        """None, noted, where the object is damaged or gone: what is kept is made of checked bytes alone."""
        found: DicomObject | None = object_of(row[2], row[1].id)
        for _ in range(ATTEMPTS):
            if found is None:
                return None
            try:
                described = self._read(row, found)
            except MissingObjectError:
                if self._note(found, "missing"):
                    return None
                with tenant_session(self.tenant_id) as session:
                    found = place_now(session, self.tenant_id, found)
                continue
            if described is None:
                self._note(found, "corrupt")
                return None
            return Described(found.image_id, found.checksum, _packed(described), _places(described, found.checksum))
        return None

    def _read(self, row: Row[Any], found: DicomObject) -> Description | None:
        """What the object says, or its row where it cannot be read; None where the object is corrupt."""
        with file_of(found, self.storage_of(found.backend), self.make_path) as path:
            try:
                digest = sha256_of(path)
            except FileNotFoundError:
                raise MissingObjectError("no image lies under this key any more") from None
            if digest != found.checksum:
                return None
            try:
                return self.parser.describe(path)
            except (NotAnImageError, HeldError):
                return _of_columns(row)

    def _note(self, found: DicomObject, problem: str) -> bool:
        with tenant_session(self.tenant_id) as session:
            return note_problem(session, self.tenant_id, SYSTEM, found.place, problem)


def describe_pending(
    tenant_id: int,
    tenant_slug: str,
    storage_of: StorageOf,
    parser: ImageParser,
    make_path: Callable[[], Path],
    *,
    most: int,
) -> int:
    """Describe at most `most` images that are not described, and make the metadata of series that are whole.

    How many were described. Safe to run again, and by several at a time. `storage_of` and
    `make_path` are those of the tenant `tenant_slug`.
    """
    describing = Describing(tenant_id, storage_of, parser, make_path)
    with tenant_session(tenant_id) as session:
        rows = descriptions.undescribed(session, tenant_id, most=most)
    count = describing.describe_rows(rows)
    with tenant_session(tenant_id) as session:
        stale = descriptions.stale_series(session, tenant_id, most=most)
    for series_id in stale if count < most else ():
        with tenant_session(tenant_id) as session:
            series = descriptions.get_series(session, tenant_id, series_id)
        describing.series_metadata(series)
    return count


@contextmanager
def file_of(found: DicomObject, storage: ObjectStorage, make_path: Callable[[], Path]) -> Iterator[Path]:
    """The object as a file of this machine, to be read only; MissingObjectError."""
    local = storage.local_path(found.key)
    if local is not None:
        yield local
        return
    path = make_path()
    try:
        storage.fetch(found.key, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _said(row: Row[Any]) -> bytes:
    return _packed(_of_columns(row))


def _of_columns(row: Row[Any]) -> Description:
    text = json.dumps(minimal(row), ensure_ascii=False).encode()
    return Description(zlib.compress(text), row[2].transfer_syntax_uid, (), {}, is_complete=False)


def _packed(described: Description) -> bytes:
    """The metadata with the transfer syntax the object is in (0008,3002): a file's header is no part of it."""
    syntax = json.dumps({"vr": "UI", "Value": [described.transfer_syntax_uid]}).encode()
    name = b'"' + SYNTAX_TAG.encode() + b'":'
    is_said = _says(described.metadata, name)
    pieces = inflated((described.metadata,))
    head = next(pieces, b"")
    if not is_said and head.startswith(_FIRST):
        head = _FIRST + name + syntax + b"," + head[len(_FIRST) :]
    return packed([chain((head,), pieces)])


def _says(deflated: bytes, name: bytes) -> bool:
    """Whether this stands anywhere in the text."""
    end = b""
    for piece in inflated((deflated,)):
        if name in end + piece:
            return True
        end = piece[-len(name) :]
    return False


def _places(described: Description, checksum: str) -> bytes:
    found = {
        "checksum": checksum,
        "transfer_syntax_uid": described.transfer_syntax_uid,
        "frames": described.frames,
        "bulk": described.bulk,
        "is_complete": described.is_complete,
    }
    return zlib.compress(json.dumps(found, separators=(",", ":")).encode())
