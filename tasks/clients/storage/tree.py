"""A root's folders from above: listed, emptied, swept. Links are never followed, hidden names never entered."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from models.imaging.ports import StoredObject
from tasks.clients.storage import folders
from tasks.clients.storage.keys import is_key

NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def hidden_name(unique: str) -> str:
    """The name of a copy that is not complete yet."""
    return f".{unique}.part"


def objects(root: Path, prefix: str) -> Iterator[StoredObject]:
    """Every file whose key begins with `prefix`, in the order of keys."""
    with folders.translated():
        try:
            top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # nothing was ever put
    yield from _below(top, "", prefix)


def remove(root: Path, path: tuple[str, ...], name: str) -> None:
    """Remove a file durably, if it is there, and the folders that are empty then, but for the first. OSError."""
    try:
        with folders.opened(root, path) as folder:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)
    except OSError as failed:
        if failed.errno in folders.ABSENT:
            return
        raise
    for depth in range(len(path), 1, -1):
        try:
            with folders.opened(root, path[: depth - 1]) as parent:
                if not _removed(path[depth - 1], parent):
                    return
                os.fsync(parent)
        except FileNotFoundError:
            continue  # another call removed these meanwhile, and may not come to those above


def sweep(root: Path, *, before: float) -> int:
    """Remove hidden copies and empty folders last changed before this time; the number of copies. OSError."""
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _swept(top, before, depth=0)
    finally:
        os.close(top)


def _below(folder: int, at: str, prefix: str) -> Iterator[StoredObject]:
    """What lies in the open folder whose key is `at`; it is closed afterwards."""
    try:
        for sorted_as, name, is_folder in _names(folder):
            key = at + sorted_as
            if not (key.startswith(prefix) or (is_folder and prefix.startswith(key))):
                continue
            if is_folder:
                inner = _entered(name, folder)
                if inner is not None:
                    yield from _below(inner, key, prefix)
            elif is_key(key):
                found = _file(name, key, folder)
                if found is not None:
                    yield found
    finally:
        os.close(folder)


def _names(folder: int) -> list[tuple[str, str, bool]]:
    """Files and folders, sorted so that whole keys come in order: in these a folder's name ends in a slash."""
    with folders.translated(), os.scandir(folder) as entries:
        found = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name + "/", entry.name, True))
            elif entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry.name, False))
    return sorted(found)


def _entered(name: str, folder: int) -> int | None:
    with folders.translated():
        try:
            return os.open(name, folders.FOLDER, dir_fd=folder)
        except OSError as failed:
            if failed.errno in folders.ABSENT:  # removed meanwhile, or a link by now
                return None
            raise


def _file(name: str, key: str, folder: int) -> StoredObject | None:
    with folders.translated():
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
    return StoredObject(key, found.st_size, found.st_mtime)


def _removed(name: str, parent: int) -> bool:
    """Whether the folder was empty and is gone, or was gone before."""
    try:
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=parent)
    except OSError as failed:
        if failed.errno in NOT_EMPTY:
            return False
        raise
    return True


def _swept(folder: int, before: float, *, depth: int) -> int:
    swept = 0
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if not is_folder:
            if name.startswith(".") and name.endswith(".part") and depth and _is_older(name, folder, before):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                    swept += 1
        elif not name.startswith("."):
            swept += _swept_inner(name, folder, before, depth=depth)
    return swept


def _swept_inner(name: str, parent: int, before: float, *, depth: int) -> int:
    inner = _entered(name, parent)
    if inner is None:
        return 0
    was_old = os.fstat(inner).st_mtime < before  # sweeping it makes it young
    try:
        swept = _swept(inner, before, depth=depth + 1)
    finally:
        os.close(inner)
    if depth and (was_old or swept):
        _removed(name, parent)
    return swept


def _is_older(name: str, folder: int, before: float) -> bool:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < before
    except FileNotFoundError:
        return False
