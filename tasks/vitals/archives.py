"""The archive's retention: whole days go, each with an audit row of its tenant; whatever lies elsewhere stays."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from models.kernel.audit import Action, Actor, record
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, tenant_session
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@batch_task
async def clean_archived_files(*, days: int, dry_run: bool) -> Tally:
    """Remove archived files of days that ended more than `days` days ago; or only count them."""
    return await asyncio.to_thread(clean_archive, flow_actor(), days=days, dry_run=dry_run)


def clean_archive(actor: Actor, *, days: int, dry_run: bool = False) -> Tally:
    """The same without a run of Prefect's. InvalidError for fewer than one day.

    Days of no tenant stay, for there is no audit trail that could tell of their removal.
    """
    if days < 1:
        raise InvalidError("must be at least 1", field="days")
    tally, owners = Tally(), _owners()
    if dry_run:
        tally.note("dry run: nothing was removed")
    before = utc_now().date() - timedelta(days=days)
    for slug, folder in [
        found for found in _days(settings().iot_archive) if date.fromisoformat(found[1].name) < before
    ]:
        number = _count(folder)
        if slug not in owners:
            tally.problem("days of no tenant").note(
                "the archive holds days of no tenant: see LABWIRE_IOT_DEFAULT_TENANT"
            )
        elif dry_run or _remove(folder, number, owners[slug], actor):
            tally.count("files", number)
        else:
            tally.problem("days not removed")
    return tally


def _owners() -> dict[str, int]:
    """Tenant ids by folder, those of tenants that are not active any more included; "" is the root."""
    owners = {one.slug: one.id for one in known_tenants(with_inactive=True)}
    default = settings().iot_default_tenant
    return owners | ({"": owners[default]} if default in owners else {})


def _remove(folder: Path, number: int, tenant_id: int, actor: Actor) -> bool:
    """Written down first: no file ever goes unseen, and a removal that a kill cut short is written down again."""
    _write_down(tenant_id, actor, "archive.clean", folder, {"files": number})
    try:
        shutil.rmtree(folder)
    except OSError:
        _write_down(tenant_id, actor, "archive.clean_failed", folder, {"files_left": _count(folder)})
        return False
    return True


def _write_down(tenant_id: int, actor: Actor, action: str, folder: Path, changes: dict[str, int]) -> None:
    with tenant_session(tenant_id) as session:
        record(session, tenant_id, actor, Action(action, "archive_day", folder.name, changes))


def _count(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if not path.is_dir())


def _days(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders named like a day, each with its tenant's slug, "" in the root; links are not followed."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        if folder.is_symlink() or not folder.is_dir():
            continue
        if _is_day(folder):
            yield "", folder
            continue
        for one in sorted(folder.iterdir()):
            if _is_day(one) and one.is_dir() and not one.is_symlink():
                yield folder.name, one


def _is_day(folder: Path) -> bool:
    if not _DAY.fullmatch(folder.name):
        return False
    try:
        date.fromisoformat(folder.name)
    except ValueError:
        return False
    return True
