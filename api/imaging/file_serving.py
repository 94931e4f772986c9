"""An image's stored bytes as an answer: checked, in ranges, and never held in memory when there are many."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.errors import MEANING, answer
from api.imaging.damage import Problem, damaged
from api.imaging.objects import Reader
from api.imaging.ranges import OutsideError, asked_range, has_it
from api.imaging.viewing import View
from models.imaging.ports import DICOM, MissingObjectError, ObjectStorage
from models.imaging.stores.places import object_of
from models.imaging.stores.studies import Place
from models.imaging.tables import RadiologyImage
from models.imaging.uids import safe_name
from tasks.clients.storage.backends import storage_for

CHECKED_FIRST_BYTES = 8 * 2**20
"""A file up to this size is checked before its first byte goes out; of a larger one the last piece waits for that."""


def serve(request: Request, view: View, image: RadiologyImage) -> Response:
    """The file as stored, or a part of it; DamagedError (500) where it is not what was stored.

    A large file found damaged at its end breaks the connection: its last piece never goes out. Of a part nothing goes
    out before the whole file was read through, now or in the last minutes.
    """
    etag = f'"{image.checksum}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(image),
        "Repr-Digest": f"sha-256=:{b64encode(bytes.fromhex(image.checksum)).decode()}:",
    }
    if has_it(request.headers, etag):
        return Response(status_code=304, headers=headers)
    try:
        part = asked_range(request.headers, image.file_size, etag) if request.method == "GET" else None
    except OutsideError:
        return answer(request, 416, MEANING[416], headers={"Content-Range": f"bytes */{image.file_size}"})
    file = _File(view, image, storage_for(image.backend, view.tenant_slug))
    start, length = part or (0, image.file_size)
    headers["Content-Length"] = str(length)
    if request.method == "HEAD":
        file.check_size()
        return Response(headers=headers, media_type=image.mime_type)
    if part is not None:
        file.check_size()
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{image.file_size}"
        return StreamingResponse(file.checked_part(start, length), 206, headers, image.mime_type)
    if image.file_size <= CHECKED_FIRST_BYTES:
        return Response(file.checked(), headers=headers, media_type=image.mime_type)
    file.check_size()
    return StreamingResponse(file.checked_pieces(), 200, headers, image.mime_type)


def disposition(image: RadiologyImage) -> str:
    """Pictures are shown, DICOM is saved under its name (RFC 6266)."""
    kind = "attachment" if image.mime_type == DICOM else "inline"
    plain, full = safe_name(image.filename), quote(image.filename.replace("\\", "/").rsplit("/", 1)[-1], safe="")
    return f'{kind}; filename="{plain}"' + (f"; filename*=UTF-8''{full}" if full != plain else "")


@dataclass(frozen=True, slots=True)
class _File:
    view: View
    image: RadiologyImage
    storage: ObjectStorage

    def check_size(self) -> None:
        """DamagedError where the object is gone or of another size."""
        found = self.storage.stat(self.image.file_key)
        if found is None:
            raise self._damaged("missing")
        if found.size != self.image.file_size:
            raise self._damaged("corrupt")

    def checked_part(self, start: int, length: int) -> Iterator[bytes]:
        """A part; the whole was what was stored a short while ago, or is found so now."""
        image = self.image
        original = replace(
            object_of(image, image.series_id), key=image.file_key, size=image.file_size, checksum=image.checksum
        )
        return Reader(self.view).part(original, start, length)

    def pieces(self, length: int | None = None) -> Iterator[bytes]:
        """From the beginning; opened before it is asked for the first piece."""
        try:
            return self.storage.read(self.image.file_key, length=length)
        except MissingObjectError:
            raise self._damaged("missing") from None

    def checked(self) -> bytes:
        """All of it, which is not much."""
        content = b"".join(self.pieces(CHECKED_FIRST_BYTES + 1))
        if hashlib.sha256(content).hexdigest() != self.image.checksum:
            raise self._damaged("corrupt")
        return content

    def checked_pieces(self) -> Iterator[bytes]:
        """All of it; the last piece only where the whole is what was stored."""
        return self._checked(self.pieces())

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        digest, waiting = hashlib.sha256(), b""
        for piece in pieces:
            digest.update(piece)
            if waiting:
                yield waiting
            waiting = piece
        if digest.hexdigest() != self.image.checksum:
            raise self._damaged("corrupt")
        yield waiting

    def _damaged(self, problem: Problem) -> Exception:
        place = Place(self.image.id, self.image.backend, self.image.file_key)
        return damaged(self.view.tenant_id, self.view.actor, place, problem)
