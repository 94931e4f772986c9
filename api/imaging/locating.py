"""Where frames and bulk data lie in an object: from its description, which is made where there is none."""

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from api.imaging.objects import Reader
from api.imaging.parser_room import waiting_for_a_parser
from api.imaging.viewing import View
from api.imaging.wado import LITTLE, UNCOMPRESSED
from models.imaging.stores import places
from models.imaging.stores.places import DicomObject
from models.kernel.errors import NotFoundError, RetryableError
from models.kernel.tenancy import tenant_session
from tasks.clients.dicom.pool import pool

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT = "1.2.840.10008.1.2"
MOST_CACHED, MOST_FRAMES_CACHED = 128, 5_000


@dataclass(frozen=True, slots=True)
class Places:
    """As `models.imaging.ports.Description` says them."""

    transfer_syntax_uid: str
    frames: Sequence[Sequence[tuple[int, int]]]
    bulk: Mapping[str, tuple[int, int]]
    is_complete: bool
    checksum: str = ""
    """Of the object they are those of; of old ones it is not known."""

    @property
    def is_compressed(self) -> bool:
        """Whether frames are encapsulated."""
        return self.transfer_syntax_uid not in UNCOMPRESSED

    @property
    def frame_syntax(self) -> str:
        """The transfer syntax of a frame by itself: implicit and deflated are datasets, not frames."""
        return LITTLE if self.transfer_syntax_uid in (IMPLICIT, DEFLATED) else self.transfer_syntax_uid


_Key = tuple[int, int, str, int | None]


class _Cache:
    """Places of the images that were asked for lately, by what was described: that never changes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[_Key, Places] = OrderedDict()

    def get(self, key: _Key) -> Places | None:
        with self._lock:
            found = self._found.get(key)
            if found is not None:
                self._found.move_to_end(key)
            return found

    def put(self, key: _Key, found: Places) -> None:
        if len(found.frames) > MOST_FRAMES_CACHED:
            return
        with self._lock:
            self._found[key] = found
            while len(self._found) > MOST_CACHED:
                self._found.popitem(last=False)


_CACHE = _Cache()


def places_of(view: View, found: DicomObject) -> Places:
    """Where things lie in this object; RetryableError, and DamagedError where that cannot be said."""
    key = (view.tenant_id, found.image_id, found.checksum, found.description_id)
    known = _CACHE.get(key)
    if known is None:
        known = _read(view, found)
        if known.checksum not in ("", found.checksum):
            raise RetryableError(f"image {found.image_id} was restored meanwhile", retry_after_seconds=1)
        if found.description_id is not None:
            _CACHE.put(key, known)
    return known


def frame(view: View, found: DicomObject, known: Places, number: int) -> tuple[int, Iterator[bytes]]:
    """Length and content of a frame, counted from 1; NotFoundError where the object has no such frame."""
    reader = Reader(view)
    if not known.frames and not known.is_complete:
        with waiting_for_a_parser(), reader.file(found) as path:
            data = pool().pixels(path, number)
        return len(data), iter((data,))
    if not 1 <= number <= len(known.frames):
        raise NotFoundError("the instance has no such frame", field="frames")
    pieces = known.frames[number - 1]
    return sum(length for _, length in pieces), _pieces(reader, found, pieces)


def _pieces(reader: Reader, found: DicomObject, pieces: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Of which the first is here: what is wrong with the object is known before an answer begins."""
    first = [reader.part(found, start, length) for start, length in pieces[:1]]
    return chain(*first, (data for start, length in pieces[1:] for data in reader.part(found, start, length)))


def _read(view: View, found: DicomObject) -> Places:
    deflated = _kept(view, found.image_id)
    if deflated is None:
        Reader(view).describing().describe_image(found.image_id)
        deflated = _kept(view, found.image_id)
    if deflated is None:
        Reader(view).check(found)  # tells what is wrong with it
        raise RetryableError(f"image {found.image_id} could not be described just now", retry_after_seconds=1)
    return Places(**json.loads(zlib.decompress(deflated)))


def _kept(view: View, image_id: int) -> bytes | None:
    with tenant_session(view.tenant_id) as session:
        return places.places_of(session, view.tenant_id, image_id)
