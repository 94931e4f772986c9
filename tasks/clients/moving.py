"""What was dropped on its way out of an inbox: to archive or quarantine, durably, and never over another file."""

import ctypes
import errno
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

AT_FDCWD, NO_REPLACE = -100, 1
LONGEST_STEM_BYTES = 180
_rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def archive(path: Path, folder: Path, stem: str, suffix: str) -> Path:
    """Move it to `<folder>/<stem><suffix>`, with a number behind the stem where that is taken; say where it is."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    number = 1
    while True:
        target = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}_{number}{suffix}")
        if move(path, target):
            return target
        number += 1


def quarantine(path: Path, archive_dir: Path, slug: str, now: datetime, reason: str) -> Path:
    """Move it to `quarantine/[<slug>/]<name>` beside the archive, with its reason, and say where it is.

    The reason is written first: it reserves the name, and no file is ever there without one.
    """
    folder = archive_dir.parent / "quarantine" / slug
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    stem, suffix = shortened(path.stem), path.suffix[:20]
    number = 0
    while True:
        target = folder / (f"{stem}_{now:%Y%m%d_%H%M%S}_{number}{suffix}" if number else f"{stem}{suffix}")
        if write_new(target.with_name(f"{target.name}.reason.txt"), reason) and move(path, target):
            return target
        number += 1


def move(source: Path, target: Path) -> bool:
    """Rename, or copy where it is another file system; False when there is something of that name."""
    try:
        _rename_new(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _copy_new(source, target)
    return True


def sync_files(paths: Sequence[Path]) -> None:
    """Make their contents durable; several at once, which file systems write together."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_sync_file, paths))


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make durable which names are in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_new(source: Path, target: Path) -> None:
    """In one step where the system can; else as a second name first, so that nothing is ever overwritten."""
    if _rename is not None:
        if not _rename(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), NO_REPLACE):
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number))
    os.link(source, target, follow_symlinks=False)
    source.unlink()


def _copy_new(source: Path, target: Path) -> bool:
    """Durable at the other place before it ends at the first."""
    half = target.with_name(f".{target.name}.part")
    if source.is_dir() and not source.is_symlink():
        return _copy_folder(source, half, target)
    if source.is_symlink() or not source.is_file():
        source.unlink()  # a link, pipe or socket: nothing of it to keep on another file system
        return True
    with source.open("rb") as read, half.open("wb") as written:
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    shutil.copystat(source, half)
    try:
        _rename_new(half, target)
    except FileExistsError:
        half.unlink()
        return False
    sync_folder(target.parent)
    source.unlink()
    return True


def _copy_folder(source: Path, half: Path, target: Path) -> bool:
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source, half, symlinks=True, ignore=_not_to_be_kept)
    for folder, _, names in os.walk(half):
        sync_files([path for name in names if not (path := Path(folder, name)).is_symlink()])
        sync_folder(Path(folder))
    try:
        _rename_new(half, target)
    except FileExistsError:
        shutil.rmtree(half)
        return False
    sync_folder(target.parent)
    shutil.rmtree(source)
    return True


def _not_to_be_kept(folder: str, names: list[str]) -> list[str]:
    """Pipes and sockets."""
    paths = [Path(folder, name) for name in names]
    return [path.name for path in paths if not (path.is_symlink() or path.is_dir() or path.is_file())]


def write_new(path: Path, text: str) -> bool:
    """A new file, durably; False when there is something of that name."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(descriptor)
    return True


def shortened(stem: str) -> str:
    """The name's stem, short enough for a time and a number behind it."""
    return os.fsdecode(os.fsencode(stem)[:LONGEST_STEM_BYTES])
