"""Stored objects read for an answer: their SHA-256 is checked before anything of them is told.

Small ones are read whole each time, unless they were found right in the last minutes; large ones are read through once
in that time. So a multi-frame file is not hashed for each of its frames.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

from api.imaging.damage import Answer, MovedError, Problem, damaged
from api.imaging.parser_room import waiting_for_a_parser
from api.imaging.viewing import View
from models.imaging.describing import Describing, file_of
from models.imaging.ports import MissingObjectError, ObjectStorage
from models.imaging.stores.places import DicomObject, place_now
from models.kernel.errors import LabwireError
from models.kernel.tenancy import tenant_session
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
        self.check(found)
        return self._opened(found)

    def part(self, found: DicomObject, start: int, length: int) -> Iterator[bytes]:
        """Some bytes of the object, checked before this returns."""
        mark = self._mark(found)
        if REMEMBERED.has(mark):
            return self._opened(found, start, length)
        if found.size <= SMALL_BYTES:
            return _sliced(self._small(found)[start : start + length])
        self.check(found)
        return self._opened(found, start, length)

    @contextmanager
    def file(self, found: DicomObject) -> Iterator[Path]:
        """The object as a checked file of this machine, to be read only."""
        self.check(found)
        fresh = spool_of(self._view.tenant_slug).fresh
        with ExitStack() as held:
            path = self._where(found, lambda at: held.enter_context(file_of(at, self.storage(at.backend), fresh)))
            try:
                yield path
            except MissingObjectError:  # since then
                raise self._problem(found, "missing") from None

    def _small(self, found: DicomObject) -> bytes:
        data = b"".join(self._opened(found))
        if hashlib.sha256(data).hexdigest() != found.checksum:
            raise self._problem(found, "corrupt")
        REMEMBERED.add(self._mark(found))
        return data

    def check(self, found: DicomObject) -> None:
        """Nothing, where the object is what was stored."""
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

    def check_size(self, found: DicomObject) -> None:
        """Nothing, where the object is there and as long as it was."""

        def size(at: DicomObject) -> int:
            stored = self.storage(at.backend).stat(at.key)
            if stored is None:
                raise MissingObjectError("no image lies under this key any more")
            return stored.size

        if self._where(found, size) != found.size:
            raise self._problem(found, "corrupt")

    def _opened(self, found: DicomObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The pieces, of which the first is here: what is missing is known before an answer begins."""

        def read(at: DicomObject) -> Iterator[bytes]:
            pieces = self.storage(at.backend).read(at.key, start=start, length=length)
            return chain((next(pieces, b""),), pieces)

        return self._where(found, read)

    def _where(self, found: DicomObject, read: Callable[[DicomObject], Answer]) -> Answer:
        """What `read` gives; asked once more where the object lies now, when it was moved since its row was read."""
        try:
            return read(found)
        except MissingObjectError:
            error = self._problem(found, "missing")
        if not isinstance(error, MovedError):
            raise error
        with tenant_session(self._view.tenant_id) as session:
            now = place_now(session, self._view.tenant_id, found)
        if now is None:
            raise error
        try:
            return read(now)
        except MissingObjectError:
            raise self._problem(now, "missing") from None

    def _problem(self, found: DicomObject, problem: Problem) -> LabwireError:
        return damaged(self._view.tenant_id, self._view.actor, found.place, problem)

    def _mark(self, found: DicomObject) -> tuple[int, str, str]:
        return (self._view.tenant_id, found.key, found.checksum)


def _sliced(data: bytes) -> Iterator[bytes]:
    """In pieces that a slow client's connection need not hold all at once."""
    if len(data) <= PIECE:
        return iter((data,))
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))
