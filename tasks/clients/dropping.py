"""A file or folder put into a drop folder: complete and durable before anybody sees its name."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from models.kernel.errors import ConfigError, RetryableError
from tasks.clients.moving import sync_files, sync_folder


def drop(path: Path, folder: Path, name: str) -> None:
    """Copy `path` to `folder/name`, made where it is missing. Links in it are not copied.

    ConfigError where the folder cannot be written to, RetryableError where the disk fails; nothing is left then.
    """
    hidden = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        try:
            if path.is_dir():
                shutil.copytree(path, hidden, ignore=_links)
                sync_files([each for each in _below(hidden) if each.is_file()])
                for each in _below(hidden):
                    if each.is_dir():
                        sync_folder(each)
            else:
                shutil.copyfile(path, hidden)
                sync_files([hidden])
            hidden.rename(folder / name)
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            hidden.unlink(missing_ok=True)
            raise
        sync_folder(folder)
    except PermissionError:
        raise ConfigError("the drop folder cannot be written to (LABWIRE_RADIOLOGY_INBOX_DIR)") from None
    except (OSError, shutil.Error) as error:
        raise RetryableError(f"the copy into the drop folder failed ({type(error).__name__})") from None


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.rglob("*")


def _links(folder: str, names: list[str]) -> list[str]:
    paths = [os.path.join(folder, name) for name in names]
    return [os.path.basename(path) for path in paths if os.path.islink(path) or not _is_plain(path)]


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) or os.path.isdir(path)
