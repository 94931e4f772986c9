"""Keys and tenants' names as both backends let them through: a key never leads out of its root or prefix."""

import os
import re
import stat as modes
from pathlib import Path

from models.kernel.errors import ConfigError, InvalidError
from tasks.clients.storage.folders import translated

LONGEST_KEY = 900
"""Bytes: with the tenant's prefix less than the 1,024 that S3 takes."""
LONGEST_PART = 255
"""Bytes: what file systems take."""
PIECE_BYTES = 256 * 1024
_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")


def parts_of(key: str) -> tuple[str, ...]:
    """The key's parts; InvalidError for one that is absolute, hidden, relative, empty or not a plain name."""
    parts = tuple(key.split("/"))
    if not all(_is_plain(part) for part in parts) or len(key.encode(errors="replace")) > LONGEST_KEY:
        raise InvalidError("the key is not one that can be kept", field="key")
    return parts


def is_key(key: str) -> bool:
    """Whether `parts_of` lets it through."""
    try:
        parts_of(key)
    except InvalidError:
        return False
    return True


def checked_prefix(prefix: str) -> str:
    """The same; InvalidError unless it is the beginning of keys, which may end anywhere in a part."""
    whole, _, _last = prefix.rpartition("/")
    if whole:
        parts_of(whole)
    if prefix.startswith("/") or _last.startswith(".") or (_last and not _is_plain(_last)):
        raise InvalidError("the prefix is not one of keys", field="prefix")
    return prefix


def checked_slug(slug: str) -> str:
    """The same; ConfigError unless it is a tenant's slug, so that no name leads out of the media folder."""
    if _SLUG.fullmatch(slug) is None:
        raise ConfigError("the tenant's slug is not one that storage can be named after")
    return slug


def checked_range(start: int, length: int | None) -> None:
    """InvalidError for a negative start or length."""
    if start < 0 or (length is not None and length < 0):
        raise InvalidError("start and length are not negative", field="range")


def checked_source(source: Path, size: int) -> os.stat_result:
    """What the file to be kept is; InvalidError where it is not there, no file, or not as long as was said."""
    with translated():
        try:
            found = source.lstat()
        except FileNotFoundError:
            raise InvalidError("the file to be kept is not there", field="source") from None
    if not modes.S_ISREG(found.st_mode):
        raise InvalidError("the file to be kept is not a file", field="source")
    if found.st_size != size:
        raise InvalidError("the file to be kept is not as long as was said", field="size")
    return found


def _is_plain(part: str) -> bool:
    if not part or part.startswith(".") or not part.isprintable() or "\\" in part:
        return False  # a lone surrogate is not printable either
    return len(part.encode()) <= LONGEST_PART
