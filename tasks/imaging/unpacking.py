"""The files of a dropped source, each copied into the spool: of a folder, a ZIP file, or a file by itself.

Nothing is unpacked under a name from outside: a member's name is kept as text and never becomes a path.
"""

import hashlib
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from models.kernel.settings import settings
from tasks.clients.storage.growing import disk_errors
from tasks.clients.storage.spool import Spool

MOST_FILES = 20_000
MOST_BYTES = 64 * 2**30
"""Of one source, inflated."""
MOST_RATIO, FREE_BYTES = 200, 16 * 2**20
"""How much larger than it is packed a member may be, beyond what is free: empty pictures pack well."""
MOST_DIRECTORY_BYTES = MOST_FILES * 2_000
"""Of a ZIP file's index, which is read as a whole."""
BROKEN = (zlib.error, lzma.LZMAError)
PIECE = 1024 * 1024
NAME_CHARACTERS = 255
INDEXES = {"dicomdir"}
SYSTEM = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}


class RefusedSourceError(Exception):
    """A source of which nothing is taken, by the name of the rule."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A file of a source in the spool, durable: the name it had, its SHA-256 in hex and its size."""

    path: Path
    filename: str
    digest: str
    size: int


class Contents:
    """What a source holds. `files` copies one after the other; `skipped` counts indexes, hidden and system files."""

    def __init__(self, source: Path, spool: Spool) -> None:
        self._source, self._spool = source, spool
        self._most_of_one = settings().radiology_largest_mb * 2**20
        self._left = MOST_BYTES
        self.skipped = 0

    def files(self) -> Iterator[Unpacked]:
        """Every file, in the order of their names; RefusedSourceError for what must not be taken in."""
        facts = self._source.lstat()
        if stat.S_ISDIR(facts.st_mode):
            yield from self._of_folder()
        elif not stat.S_ISREG(facts.st_mode):
            raise RefusedSourceError("link_or_device")
        else:
            with self._opened(self._source) as opened:
                is_zip = opened.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
                opened.seek(0)
                if is_zip:
                    yield from self._of_zip(opened)
                else:
                    yield self._copied(opened, self._source.name)

    def _of_folder(self) -> Iterator[Unpacked]:
        paths = []
        for folder, folders, names in os.walk(self._source):
            if any(os.path.islink(os.path.join(folder, name)) for name in folders):
                raise RefusedSourceError("link_or_device")
            paths += [Path(folder, name) for name in names]
            if len(paths) > MOST_FILES:
                raise RefusedSourceError("too_many_files")
        for path in sorted(paths):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise RefusedSourceError("link_or_device")
            if self._is_taken(path.relative_to(self._source).parts):
                with self._opened(path) as opened:
                    yield self._copied(opened, path.name)

    def _of_zip(self, opened: IO[bytes]) -> Iterator[Unpacked]:
        try:
            _check_directory(opened)
            with closing(zipfile.ZipFile(opened)) as packed:
                members = [each for each in packed.infolist() if not each.is_dir()]
                self._check(members)
                for member in sorted(members, key=lambda each: each.filename):
                    if self._is_taken(PurePosixPath(member.filename).parts):
                        with packed.open(member) as inflated:
                            yield self._copied(inflated, member.filename)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error, *BROKEN):
            raise RefusedSourceError("zip_broken") from None
        except RuntimeError:  # what zipfile says of a password it was not given
            raise RefusedSourceError("zip_encrypted") from None

    def _check(self, members: list[zipfile.ZipInfo]) -> None:
        """By what the index says; while it is read nothing can become larger than that."""
        if len(members) > MOST_FILES:
            raise RefusedSourceError("too_many_files")
        if sum(each.file_size for each in members) > MOST_BYTES:
            raise RefusedSourceError("too_large")
        for each in members:
            parts = each.filename.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0]:
                raise RefusedSourceError("zip_path_out")
            if each.flag_bits & 0x1:
                raise RefusedSourceError("zip_encrypted")
            kind = stat.S_IFMT(each.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise RefusedSourceError("link_or_device")
            if each.file_size > MOST_RATIO * each.compress_size + FREE_BYTES:
                raise RefusedSourceError("zip_bomb")

    def _is_taken(self, parts: tuple[str, ...]) -> bool:
        names = [part.casefold() for part in parts]
        if any(name.startswith(".") or name in SYSTEM for name in names) or names[-1] in INDEXES:
            self.skipped += 1
            return False
        return True

    def _opened(self, path: Path) -> IO[bytes]:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise RefusedSourceError("not_readable") from None
        return os.fdopen(descriptor, "rb")

    def _copied(self, source: IO[bytes], name: str) -> Unpacked:
        path, digest, size = self._spool.fresh(), hashlib.sha256(), 0
        most = min(self._most_of_one, self._left)
        try:
            with disk_errors(), path.open("xb") as target:
                while piece := _piece(source):
                    size += len(piece)
                    if size > most:
                        raise RefusedSourceError("too_large")
                    digest.update(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._left -= size
        return Unpacked(path, _as_text(name), digest.hexdigest(), size)


def _piece(source: IO[bytes]) -> bytes:
    """The next bytes. What a decompressor cannot go on with is `zip_broken`, never a failing disk."""
    try:
        return source.read(PIECE)
    except OSError as error:
        if error.errno is None:  # bzip2's word for broken data
            raise RefusedSourceError("zip_broken") from None
        raise


def _check_directory(opened: IO[bytes]) -> None:
    """RefusedSourceError where the index is larger than that of so many files: it would be read into memory."""
    end = opened.seek(0, os.SEEK_END)
    opened.seek(max(0, end - 65_557))
    tail = opened.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0:
        raise RefusedSourceError("zip_broken")
    (size,) = struct.unpack_from("<I", tail, place + 12)
    locator = place - 20
    if locator >= 0 and tail[locator : locator + 4] == b"PK\x06\x07":
        (record,) = struct.unpack_from("<Q", tail, locator + 8)
        opened.seek(min(record + 40, end))
        (size,) = struct.unpack("<Q", opened.read(8))
    opened.seek(0)
    if size > MOST_DIRECTORY_BYTES:
        raise RefusedSourceError("too_many_files")


def _as_text(name: str) -> str:
    """The last part of a name as a database takes it."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].encode("utf-8", "replace").decode()
    return "".join(sign for sign in last if sign.isprintable())[-NAME_CHARACTERS:] or "image"
