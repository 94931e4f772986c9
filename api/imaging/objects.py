"""Stored objects read for an answer: their SHA-256 is checked before anything of them is told.

Small ones are read whole each time, unless they were found right in the last minutes; large ones are read through once
in that time. So a multi-frame file is not hashed for each of its frames.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from api.imaging.damage import Problem, damaged
from api.imaging.parser_room import waiting_for_a_parser
from api.imaging.viewing import View
from models.imaging.describing import Describing, file_of
from models.imaging.ports import MissingObjectError, ObjectStorage
from models.imaging.stores.places import DicomObject
from models.kernel.errors import DamagedError
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.spool import spool_of

SMALL_BYTES = 8 * 1024 * 1024
"""Read at one go; what is larger is read through once, then piece by piece as the client takes it."""
PIECE = 1024 * 1024
GOOD_FOR_SECONDS = 180.0
MOST_REMEMBERED = 5_000
LOCKS = 32


class Remembered:
    """Objects that were right a short while ago. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: OrderedDict[tuple[int, str, str], float] = OrderedDict()
        self._turns = [threading.Lock() for _ in range(LOCKS)]

    def has(self, mark: tuple[int, str, str]) -> bool:
        """Whether this one was."""
        with self._lock:
            return self._until.get(mark, 0.0) > time.monotonic()

    def add(self, mark: tuple[int, str, str]) -> None:
        """It is right."""
        with self._lock:
            self._until[mark] = time.monotonic() + GOOD_FOR_SECONDS
            self._until.move_to_end(mark)
            while len(self._until) > MOST_REMEMBERED:
                self._until.popitem(last=False)

    def turn(self, mark: tuple[int, str, str]) -> threading.Lock:
        """Held by whoever hashes this object, so that several requests for it do that once."""
        return self._turns[hash(mark) % LOCKS]

    def forget(self) -> None:
        """Everything, for tests."""
        with self._lock:
            self._until.clear()


REMEMBERED = Remembered()


class Reader:
    """Reads a tenant's objects for one request. DamagedError, noted, where one is not as it was stored, or is gone."""

    def __init__(self, view: View) -> None:
        self._view = view

    def storage(self, backend: str) -> ObjectStorage:
        """The tenant's objects at this backend."""
        return storage_for(backend, self._view.tenant_slug)

    def describing(self) -> Describing:
        """How the tenant's images are described."""
        spool = spool_of(self._view.tenant_slug)
        return Describing(self._view.tenant_id, self.storage, pool(), spool.fresh, waiting_for_a_parser)

    def whole(self, found: DicomObject) -> Iterator[bytes]:
        """All of the object, checked before this returns."""
        if found.size <= SMALL_BYTES:
            return _sliced(self._small(found))
        self._check(found)
        return self._opened(found)

    def part(self, found: DicomObject, start: int, length: int) -> Iterator[bytes]:
        """Some bytes of the object, checked before this returns."""
        mark = self._mark(found)
        if REMEMBERED.has(mark):
            return self._opened(found, start, length)
        if found.size <= SMALL_BYTES:
            return _sliced(self._small(found)[start : start + length])
        self._check(found)
        return self._opened(found, start, length)

    @contextmanager
    def file(self, found: DicomObject) -> Iterator[Path]:
        """The object as a checked file of this machine, to be read only."""
        self._check(found)
        try:
            with file_of(found, self.storage(found.backend), spool_of(self._view.tenant_slug).fresh) as path:
                yield path
        except MissingObjectError:
            raise self._problem(found, "missing") from None

    def _small(self, found: DicomObject) -> bytes:
        data = b"".join(self._opened(found))
        if hashlib.sha256(data).hexdigest() != found.checksum:
            raise self._problem(found, "corrupt")
        REMEMBERED.add(self._mark(found))
        return data

    def _check(self, found: DicomObject) -> None:
        mark = self._mark(found)
        with REMEMBERED.turn(mark):
            if REMEMBERED.has(mark):
                return
            digest = hashlib.sha256()
            for piece in self._opened(found):
                digest.update(piece)
            if digest.hexdigest() != found.checksum:
                raise self._problem(found, "corrupt")
            REMEMBERED.add(mark)

    def _opened(self, found: DicomObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The pieces, of which the first is here: what is missing is known before an answer begins."""
        try:
            pieces = self.storage(found.backend).read(found.key, start=start, length=length)
            first = next(pieces, b"")
        except MissingObjectError:
            raise self._problem(found, "missing") from None
        return chain((first,), pieces)

    def _problem(self, found: DicomObject, problem: Problem) -> DamagedError:
        return damaged(self._view.tenant_id, self._view.actor, found.image_id, problem)

    def _mark(self, found: DicomObject) -> tuple[int, str, str]:
        return (self._view.tenant_id, found.key, found.checksum)


def _sliced(data: bytes) -> Iterator[bytes]:
    """In pieces that a slow client's connection need not hold all at once."""
    if len(data) <= PIECE:
        return iter((data,))
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))
