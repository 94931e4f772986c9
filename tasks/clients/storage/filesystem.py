"""Images as files below `<media>/<tenant slug>`: linked into place once, read-only, never replaced.

A file is complete before it has its name, and `link` refuses a name that is taken: there is no moment at which a reader
sees half an object, and no way to put one in another's place. What an interrupted put leaves is hidden.
"""

import errno
import os
import stat as modes
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from models.imaging.ports import KeyTakenError, MissingObjectError, StoredObject
from models.kernel.errors import InvalidError
from tasks.clients.storage import folders, tree
from tasks.clients.storage.copies import copied_and_hashed, hashed, pieces_of, write_new
from tasks.clients.storage.keys import checked_prefix, checked_range, checked_source, parts_of
from tasks.clients.storage.mounting import Mount
from tasks.clients.storage.syncing import sync_all

NOT_LINKABLE = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK})
"""Why a file cannot be taken over by a link: another file system, another owner, a file system without links."""
KNOWN_FOLDERS = 20_000
ATTEMPTS = 20
Held = list[int]
"""Open folders from the root inwards. Named here: inside the class `list` is a method."""


class FilesystemStorage:
    """Fulfils ObjectStorage for one tenant's folder; any number of threads and processes may share it."""

    name = "filesystem"

    def __init__(self, root: Path, mount: Mount | None = None) -> None:
        self.root = root
        self._mount = mount
        self._durable: set[tuple[str, ...]] = set()
        """Folders whose names are known to be on the disk: syncing their parents again would cost a flush each."""
        self._durable_lock = threading.Lock()

    def put(self, key: str, source: Path, *, sha256: str, size: int, mime_type: str) -> bool:
        """Keep `source`, written and synced by the caller, under `key`; see ObjectStorage.

        It becomes read-only, for it is the same file from then on where a link could be made.
        """
        *path, name = parts_of(key)
        mine = _Source(source, checked_source(source, size), sha256)
        with folders.translated():
            for attempt in range(ATTEMPTS):
                try:
                    return self._put(tuple(path), name, mine)
                except FileNotFoundError:  # `remove` took a folder away that had become empty
                    if attempt + 1 == ATTEMPTS:
                        raise
                    self._forget(tuple(path))
        raise AssertionError("not reached")

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The object's bytes, or `length` of them from `start`, in pieces of at most 256 KB; MissingObjectError."""
        checked_range(start, length)
        file = self._opened(key)
        with folders.translated():
            os.lseek(file, start, os.SEEK_SET)
        return pieces_of(file, length)

    def fetch(self, key: str, target: Path) -> None:
        """Write a copy to `target`, a new file; MissingObjectError."""
        write_new(target, pieces_of(self._opened(key), None))

    def local_path(self, key: str) -> Path | None:
        """The object's file, to be read only; None where there is none, or a link on the way."""
        return self.root.joinpath(*parts_of(key)) if self.stat(key) is not None else None

    def stat(self, key: str) -> StoredObject | None:
        """The object's size and age; None where there is none."""
        *path, name = parts_of(key)
        try:
            with folders.opened(self.root, tuple(path)) as folder:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as failed:
            if failed.errno in folders.ABSENT:
                self._refuse_unmounted()
                return None
            with folders.translated():
                raise
        return StoredObject(key, found.st_size, found.st_mtime) if modes.S_ISREG(found.st_mode) else None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`, in the order of keys; nothing hidden, no links."""
        return tree.objects(self.root, checked_prefix(prefix))

    def remove(self, key: str) -> None:
        """Remove the object, and the folders below the first that are empty without it; for `move-objects` alone."""
        *path, name = parts_of(key)
        self._forget(tuple(path))
        with folders.translated():
            tree.remove(self.root, tuple(path), name)

    def sweep(self, *, older_than_seconds: float) -> int:
        """Remove what interrupted puts left behind so long ago: hidden copies and empty folders. How many copies."""
        with folders.translated():
            return tree.sweep(self.root, before=time.time() - older_than_seconds)

    def signed_url(self, key: str, *, seconds: int, filename: str, mime_type: str) -> str | None:
        """None: the API signs an address of its own."""
        return None

    def _opened(self, key: str) -> int:
        *path, name = parts_of(key)
        try:
            with folders.opened(self.root, tuple(path)) as folder:
                file = os.open(name, folders.FILE, dir_fd=folder)
        except OSError as failed:
            if failed.errno in folders.ABSENT:
                self._refuse_unmounted()
                raise MissingObjectError("no image lies under this key") from None
            with folders.translated():
                raise
        if not modes.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise MissingObjectError("no image lies under this key")
        return file

    def _put(self, path: tuple[str, ...], name: str, source: "_Source") -> bool:
        held: Held = []
        try:
            held.append(self._opened_root())
            for part in path:
                held.append(folders.open_or_make(part, held[-1]))
            is_new = _linked(source, name, held[-1])
            # Also where it lay there already: who put it may not have come to this yet, and we say that it is kept.
            self._sync(path, held)
        finally:
            for folder in held:
                os.close(folder)
        return is_new

    def _opened_root(self) -> int:
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._mount is not None:
                self._mount.begin()
            folders.make_root(self.root)
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _refuse_unmounted(self) -> None:
        """AwayError where not even the tenant's folder is there, though the root was set up: all would seem lost."""
        if self._mount is not None and not self.root.is_dir():
            self._mount.refuse_unmounted()

    def _sync(self, path: tuple[str, ...], held: Held) -> None:
        """The object's folder, and every folder above it that names one not known to be durable."""
        made = [depth for depth in range(len(path), 0, -1) if path[:depth] not in self._durable]
        sync_all([held[-1], *(held[depth - 1] for depth in made)])
        with self._durable_lock:
            if len(self._durable) > KNOWN_FOLDERS:
                self._durable.clear()
            # An image's own folder is hardly ever put into again.
            self._durable.update(path[:depth] for depth in made if depth < len(path))

    def _forget(self, path: tuple[str, ...]) -> None:
        with self._durable_lock:
            self._durable.difference_update(path[:depth] for depth in range(1, len(path) + 1))


@dataclass(frozen=True, slots=True)
class _Source:
    """The file to be kept, and what was found of it."""

    path: Path
    found: os.stat_result
    sha256: str


def _linked(source: _Source, name: str, folder: int) -> bool:
    """Give the content of `source` its name; False where the same bytes have it, KeyTakenError where others do."""
    try:
        _take_over(source, name, folder)
    except FileExistsError:
        return _same(name, folder, source.sha256)
    except OSError as failed:
        if failed.errno not in NOT_LINKABLE:
            raise
        if _is_taken(name, folder):  # told before gigabytes are copied
            return _same(name, folder, source.sha256)
        return _copy_in(source, name, folder)
    return True


def _take_over(source: _Source, name: str, folder: int) -> None:
    if source.found.st_uid != os.geteuid():  # its owner could write to it for ever
        raise PermissionError(errno.EPERM, "another's file")
    if modes.S_IMODE(source.found.st_mode) != 0o400:
        os.chmod(source.path, 0o400)
    os.link(source.path, name, dst_dir_fd=folder, follow_symlinks=False)


def _copy_in(source: _Source, name: str, folder: int) -> bool:
    """Copy, sync, then name it: the copy is hidden until it is complete."""
    hidden = tree.hidden_name(uuid4().hex)
    target = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400, dir_fd=folder)
    try:
        try:
            if copied_and_hashed(source.path, target) != source.sha256:
                raise InvalidError("the file to be kept is not what its checksum says", field="sha256")
            os.fsync(target)
        finally:
            os.close(target)
        try:
            os.link(hidden, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            return _same(name, folder, source.sha256)
        return True
    finally:
        with suppress(OSError):  # what stays is swept
            os.unlink(hidden, dir_fd=folder)


def _is_taken(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _same(name: str, folder: int, sha256: str) -> bool:
    """False where the same bytes lie there: nothing was written. KeyTakenError for anything else."""
    try:
        file = os.open(name, folders.FILE, dir_fd=folder)
    except OSError as failed:
        if failed.errno not in folders.ABSENT - {errno.ENOENT}:
            raise
        raise KeyTakenError("something that is no image lies under this key") from None
    if not modes.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise KeyTakenError("something that is no image lies under this key")
    if hashed(pieces_of(file, None)) != sha256:
        raise KeyTakenError("other bytes lie under this key")
    return False
