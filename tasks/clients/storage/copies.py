"""Bytes from one file to another, in pieces: memory does not grow with a file."""

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256 as new_sha256
from io import FileIO
from pathlib import Path

from models.kernel.errors import InvalidError
from tasks.clients.storage.folders import translated
from tasks.clients.storage.keys import PIECE_BYTES

LARGE_PIECE_BYTES = 1024 * 1024


def pieces_of(descriptor: int, length: int | None) -> Iterator[bytes]:
    """What `descriptor` still holds, at most `length`, in pieces of at most 256 KB; it is closed afterwards."""
    # Given to the generator as a file at once: also one that is never asked for a piece closes it in the end.
    return _pieces(os.fdopen(descriptor, "rb", buffering=0), length)


def write_new(target: Path, pieces: Iterable[bytes]) -> None:
    """The pieces as a new file that only we may read (0600); nothing is left of it when they end in an error."""
    with translated():
        try:
            file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise InvalidError("the copy's file is there already", field="target") from None
        try:
            with os.fdopen(file, "wb", buffering=0) as out:
                for piece in pieces:
                    _write(out.fileno(), piece)
        except BaseException:
            os.unlink(target)
            raise


def copied_and_hashed(source: Path, target: int) -> str:
    """Write what `source` holds to the descriptor `target`; the SHA-256 of it in hex. OSError."""
    digest = new_sha256()
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(LARGE_PIECE_BYTES):
            digest.update(piece)
            _write(target, piece)
    return digest.hexdigest()


def hashed(pieces: Iterable[bytes]) -> str:
    """The SHA-256 of the pieces in hex."""
    digest = new_sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _pieces(file: FileIO, length: int | None) -> Iterator[bytes]:
    with file:
        left = length
        while left is None or left > 0:
            with translated():
                piece = file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not piece:
                return
            if left is not None:
                left -= len(piece)
            yield piece


def _write(target: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(target, view) :]
