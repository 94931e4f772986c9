"""The drop folder: folders, ZIP files and single files that wait, and where they go afterwards."""

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from models.kernel.errors import ConfigError, InvalidError
from models.kernel.settings import settings
from tasks.clients import moving
from tasks.clients.claims import ClaimedFile, Claims, has_writer, is_settled

SETTLED_SECONDS = 20.0
"""For so long nothing in it has changed: a copy over the network pauses between two files."""
UNFINISHED = (".part", ".tmp", ".crdownload", ".reason.txt")
FINGERPRINT = 16
"""Hex digits of a SHA-256 that name a source: its name may say whose it is."""
_ORDER = re.compile(r"order-([1-9][0-9]{0,17})(?![0-9])")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run was asked for: one source by its name or the first digits of its SHA-256, or all that wait."""

    source: str = ""
    radiology_order_id: int | None = None

    def __post_init__(self) -> None:
        if self.radiology_order_id is not None and not self.source:
            raise InvalidError("say which source the order is of", field="source")

    def fits(self, name: str) -> bool:
        """Whether the source of this name is asked for."""
        return not self.source or self.source in (name, fingerprint_of(name))


def fingerprint_of(name: str) -> str:
    """The first digits of the SHA-256 of a source's name."""
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:FINGERPRINT]


def order_named_by(name: str) -> int | None:
    """The radiology order a source is of by its name: `order-17.zip`, `order-17-chest`."""
    found = _ORDER.match(name)
    return int(found[1]) if found else None


def drop_folder(slug: str) -> Path:
    """Where this tenant's studies are dropped."""
    return settings().radiology_inbox / slug


def archive_folder() -> Path:
    """Where they go when they were taken; `quarantine` is beside it."""
    return settings().radiology_inbox.parent / "archive"


def inbox() -> Path | None:
    """The root of the drop folders; None where nobody ever made one. ConfigError where the one that is set is not."""
    root = settings().radiology_inbox
    if root.is_symlink():
        raise ConfigError("LABWIRE_RADIOLOGY_INBOX_DIR must not be a symbolic link")
    if not root.is_dir():
        if settings().radiology_inbox_dir is not None:
            raise ConfigError("LABWIRE_RADIOLOGY_INBOX_DIR is not there")
        return None
    return root


def claim_waiting(claims: Claims, slug: str, wanted: Wanted) -> Iterator[ClaimedFile]:
    """The tenant's sources, each claimed when it is asked for: left by killed runs, then complete ones by name."""
    yield from (each for each in claims.adopted if each.slug == slug)
    folder = drop_folder(slug)
    if folder.is_symlink() or not folder.is_dir():
        return
    for name in sorted(os.listdir(folder)):
        if name.startswith(".") or name.endswith(UNFINISHED) or not wanted.fits(name):
            continue
        if is_complete(folder / name, is_asked_for=bool(wanted.source)):
            claimed = claims.take(folder / name, slug, name=_with_order(name, wanted.radiology_order_id))
            if claimed is not None:
                yield claimed


def is_complete(path: Path, *, is_asked_for: bool = False) -> bool:
    """Whether nothing in it changed for a while and nobody has a file of it open to write.

    Of one that a person asked for by name the time does not count: that person says that it is all there.
    """
    seconds = 0.0 if is_asked_for else SETTLED_SECONDS
    try:
        for each in _all_in(path):
            changed = os.lstat(each).st_ctime
            if has_writer(each) if is_asked_for else not is_settled(each, changed, seconds):
                return False
    except OSError:
        return False  # it changes at this moment
    return True


def of_no_tenant(root: Path, slugs: Collection[str]) -> int:
    """Folders in the inbox that hold something and are named like none of these tenants."""
    with os.scandir(root) as entries:
        return sum(
            not entry.name.startswith(".")
            and entry.name not in slugs
            and entry.is_dir(follow_symlinks=False)
            and any(os.scandir(entry.path))
            for entry in entries
        )


def archive(source: ClaimedFile, now: datetime) -> Path:
    """Move it to `archive/<slug>/YYYY/MM/DD/<name>_<HHMMSS>`; the folder that names it now."""
    path = source.path
    folder = archive_folder() / source.slug / f"{now:%Y/%m/%d}"
    stem, suffix = (path.name, "") if path.is_dir() else (path.stem, path.suffix[:20])
    return moving.archive(path, folder, f"{moving.shortened(stem)}_{now:%H%M%S}", suffix).parent


def quarantine(source: ClaimedFile, now: datetime, reason: str) -> Path:
    """Move it to `quarantine/<slug>/` with its reason beside it; the folder that names it now."""
    return moving.quarantine(source.path, archive_folder(), source.slug, now, reason).parent


def _with_order(name: str, order_id: int | None) -> str:
    """The name that a killed run's successor reads the order from."""
    if order_id is None:
        return name
    stem, suffix = os.path.splitext(name)
    return f"order-{order_id}-{moving.shortened(stem)}{suffix[:20]}"


def _all_in(path: Path) -> Iterator[str]:
    yield str(path)
    if path.is_dir() and not path.is_symlink():
        for folder, folders, names in os.walk(path):
            yield from (os.path.join(folder, name) for name in (*folders, *names))
