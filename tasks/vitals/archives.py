"""The archive's retention: whole days go, whatever lies elsewhere stays."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.settings import settings
from tasks.runs import batch_task
from tasks.tally import Tally

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@batch_task
async def clean_archived_files(*, days: int, dry_run: bool) -> Tally:
    """Remove archived files of days that ended more than `days` days ago; or only count them."""
    return await asyncio.to_thread(clean_archive, days=days, dry_run=dry_run)


def clean_archive(*, days: int, dry_run: bool = False) -> Tally:
    """The same without a run of Prefect's. InvalidError for fewer than one day."""
    if days < 1:
        raise InvalidError("must be at least 1", field="days")
    tally, root = Tally(), settings().iot_archive
    if dry_run:
        tally.note("dry run: nothing was removed")
    before = utc_now().date() - timedelta(days=days)
    for folder in [folder for folder in _days(root) if date.fromisoformat(folder.name) < before]:
        number = sum(1 for path in folder.rglob("*") if not path.is_dir())
        if not dry_run:
            try:
                shutil.rmtree(folder)
            except OSError:
                tally.problem("days not removed")
                continue
        tally.count("files", number)
    return tally


def _days(root: Path) -> Iterator[Path]:
    """The folders named like a day, of the root and of every tenant; links are not followed."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            continue
        inner = [folder] if _is_day(folder) else [one for one in sorted(folder.iterdir()) if _is_day(one)]
        yield from (one for one in inner if one.is_dir() and not one.is_symlink())


def _is_day(folder: Path) -> bool:
    if not _DAY.fullmatch(folder.name):
        return False
    try:
        date.fromisoformat(folder.name)
    except ValueError:
        return False
    return True
