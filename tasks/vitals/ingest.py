"""Files with vital signs from the inbox into the database, and on to the archive or to quarantine.

A file is claimed, read, judged, stored and moved, in this order. After a kill the next run takes up what was claimed
and does it again; a reading that is there already is `repeated`.
"""

import asyncio
import gc
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, LabwireError
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, tenant_session
from models.vitals.stores.file_batches import FileDevice, backfill_limit, devices_by_code
from tasks.clients import moving
from tasks.clients.claims import ClaimedFile, Claims
from tasks.runs import batch_task, described, flow_actor
from tasks.vitals import inbox
from tasks.vitals.contents import Parsed, codes, items, parse
from tasks.vitals.gate import FileToJudge, judge
from tasks.vitals.inbox import Place, RefusedFileError
from tasks.vitals.outcomes import FileOutcome, FileReport
from tasks.vitals.storing import Storing, Wish, store

MOST_FILES = 10_000
MOST_BYTES = 24 * 2**20
"""Of the files that are judged together: they are in memory at once."""
LINES_OF_JSON = (".jsonl", ".ndjson")
WRONG_AS_A_WHOLE = "most_readings_bad"

log = structlog.get_logger(__name__)


@batch_task
async def ingest_waiting_files(tenant: str) -> FileReport:
    """Take every file that is complete, of one tenant (slug) or of all for an empty one."""
    return await asyncio.to_thread(ingest, tenant, flow_actor())


def ingest(tenant: str, actor: Actor) -> FileReport:
    """The same without a run of Prefect's. ConfigError when the inbox that is set is not there."""
    report, root = FileReport(), settings().iot_inbox
    if not root.is_dir():
        if settings().iot_inbox_dir is not None:
            raise ConfigError("LABWIRE_IOT_INBOX_DIR is not there")
        return report
    run = Run(root, tenant, actor, report)
    with Claims(root) as claims:
        for group in _groups(run.files(claims)):
            with _collector_at_rest():
                run.take(group)
    return report


@dataclass(slots=True)
class Work:
    """A claimed file on its way."""

    file: ClaimedFile
    outcome: FileOutcome
    parsed: Parsed | None = None


@dataclass(slots=True)
class Run:
    """One run over the inbox."""

    root: Path
    tenant: str
    actor: Actor
    report: FileReport
    _devices: dict[int, dict[str, FileDevice]] = field(default_factory=lambda: defaultdict(dict))
    _owners: dict[str, frozenset[int]] = field(default_factory=dict)
    _slugs: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def files(self, claims: Claims) -> Iterator[ClaimedFile]:
        """What killed runs left, then what waits, each claimed when it is asked for."""
        default = settings().iot_default_tenant
        self._slugs = {one.slug: one.id for one in known_tenants(self.tenant)}
        every = [one.slug for one in known_tenants(with_inactive=True)]
        if default in self._slugs:
            self._slugs[""] = self._slugs[default]
        found, strange = inbox.places(self.root, every)
        if strange and not self.tenant:
            self.report.tally.problem("folders of no tenant", strange)
        found = [place for place in found if place.slug in self._slugs]
        if "" in self._slugs:
            found.append(Place(self.root))
        elif not self.tenant and any(inbox.waiting(Place(self.root))):
            self.report.tally.problem("files of no tenant").note("LABWIRE_IOT_DEFAULT_TENANT names no active tenant")
        named = settings().iot_file_owners
        self._owners = {place.slug: inbox.owners_of(place.folder, named) for place in found}
        yield from (file for file in claims.adopted if file.slug in self._slugs)
        for place in found:
            for path in inbox.waiting(place):
                if (claimed := claims.take(path, place.slug)) is not None:
                    yield claimed

    def take(self, files: Sequence[ClaimedFile]) -> None:
        """Read, judge and store these files, and move each to where it belongs."""
        now = utc_now()
        works = [self._read(file) for file in files]
        read = [(work, work.parsed) for work in works if work.parsed is not None]
        limits = {tenant_id: self._backfill(tenant_id) for tenant_id in {work.outcome.tenant_id for work, _ in read}}
        judged = judge(
            [
                FileToJudge(work.outcome.number, work.outcome.tenant_id, parsed, limits[work.outcome.tenant_id])
                for work, parsed in read
            ],
            now,
        )
        by_tenant: dict[int, list[Wish]] = {tenant_id: [] for tenant_id in limits}
        for work, parsed in read:
            work.outcome.faults += parsed.faults
            work.outcome.readings["not taken"] = len(parsed.faults)
            if work.outcome.number in judged.wrong_as_a_whole:
                work.outcome.rule = WRONG_AS_A_WHOLE
                work.outcome.readings["not taken"] = parsed.total
            else:
                wanted = by_tenant[work.outcome.tenant_id]
                wanted += [Wish(work.outcome, index, each) for index, each in sorted(parsed.good.items())]
            work.parsed = None
        for tenant_id, wanted in by_tenant.items():
            store(Storing(tenant_id, now, self.actor), wanted, judged.validations.get(tenant_id))
        self._move(works)

    def _read(self, file: ClaimedFile) -> Work:
        self._count += 1
        work = Work(file, FileOutcome(self._count, self._slugs[file.slug]))
        try:
            body = inbox.read(file, self._owners.get(file.slug, frozenset({os.geteuid()})))
            work.outcome.fingerprint = hashlib.sha256(body).hexdigest()[:16]
            found = items(body)
            work.parsed = parse(found, self._known(work.outcome.tenant_id, codes(found)))
        except RefusedFileError as refusal:
            work.outcome.rule = refusal.rule
        except (LabwireError, OperationalError):
            raise
        except Exception as error:  # noqa: BLE001  # a file that no rule foresaw must not stop all others
            log.error("a file could not be read", file=work.outcome.fingerprint, error=described(error))
            work.outcome.rule = "cannot_be_read"
        return work

    def _known(self, tenant_id: int, wanted: set[str]) -> dict[str, FileDevice]:
        known = self._devices[tenant_id]
        if missing := wanted - known.keys():
            with tenant_session(tenant_id) as session:
                known |= devices_by_code(session, tenant_id, missing)
        return known

    def _backfill(self, tenant_id: int) -> int:
        with tenant_session(tenant_id) as session:
            return backfill_limit(session, tenant_id)

    def _move(self, works: Sequence[Work]) -> None:
        """Every file to its end; one that cannot be moved stays claimed, and the next run tries again."""
        now, archive_dir, touched = utc_now(), settings().iot_archive, set()
        moving.sync_files([work.file.path for work in works if work.outcome.is_good])
        for work in works:
            path, outcome = work.file.path, work.outcome
            try:
                if outcome.is_good:
                    touched.add(_archive(path, archive_dir / work.file.slug, now).parent)
                    outcome.ended = "archived"
                else:
                    touched.add(moving.quarantine(path, archive_dir, work.file.slug, now, outcome.reason()).parent)
                    outcome.ended = "quarantined"
            except OSError as error:
                log.error("a file could not be moved", file=outcome.fingerprint, error=type(error).__name__)
                outcome.ended = "not moved"
            self.report.add(outcome)
        for folder in touched:
            moving.sync_folder(folder)


def _archive(path: Path, folder: Path, now: datetime) -> Path:
    """Move a file to `<folder>/YYYY-MM-DD/<name>_<YYYYMMDD_HHMMSS>.json` and say where it is."""
    suffix = path.suffix if path.suffix in LINES_OF_JSON else ".json"
    stem = f"{moving.shortened(path.stem)}_{now:%Y%m%d_%H%M%S}"
    return moving.archive(path, folder / f"{now:%Y-%m-%d}", stem, suffix)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """While a group is in memory nothing of it can be freed: looking for it costs a third of the time."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def _groups(files: Iterable[ClaimedFile]) -> Iterator[list[ClaimedFile]]:
    """As many files as are judged together."""
    group: list[ClaimedFile] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.path.lstat().st_size
        if len(group) >= MOST_FILES or size >= MOST_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
