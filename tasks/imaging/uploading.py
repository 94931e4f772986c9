"""Studies from the drop folder into the database and the storage, and on to the archive or to quarantine.

A source is claimed, copied file by file into the spool, judged, stored and moved, in this order. After a kill the next
run takes up what was claimed and does it again: an image that is there already is `repeated`.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy.exc import OperationalError

from models.imaging.intake import Intake
from models.imaging.offers import Offer
from models.imaging.ports import NotAnImageError
from models.imaging.rules import Declared, NotLetInError
from models.imaging.stores.orders import get_order
from models.imaging.uids import derived_uid
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, HeldError, NotFoundError, RetryableError
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session
from models.upkeep.quality import record_validation
from tasks.clients import moving
from tasks.clients.claims import ClaimedFile, Claims
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.spool import Spool, spool_of
from tasks.imaging import sources
from tasks.imaging.gate import Judged, Looked, judge
from tasks.imaging.outcomes import FileOutcome, SourceOutcome, StudyReport
from tasks.imaging.progress import shown_progress
from tasks.imaging.unpacking import Contents, RefusedSourceError, Unpacked
from tasks.runs import batch_task, described, flow_actor

LANES = 4
SOURCE = "drop"
OTHER_ENDINGS = re.compile(
    r".*\.(txt|inf|exe|dll|htm|html|xml|pdf|ini|ico|bat|cmd|sh|jar|css|js|log|csv|md|json|app|bin|dat|gif|svg|bmp|rtf|doc"
    r"|docx|lnk|url|cfg|so|dylib|class)",
    re.IGNORECASE,
)
"""Of what lies beside images on a patient's CD: where it is no image, nobody need be told of it."""

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


@batch_task
async def upload_waiting_studies(tenant: str, wanted: sources.Wanted) -> StudyReport:
    """Take in what was dropped for one tenant (slug), or for all for an empty one."""
    report, actor = StudyReport(), flow_actor()
    async with shown_progress(report, "files"):
        await asyncio.to_thread(upload, tenant, wanted, actor, report)
    return report


def upload(tenant: str, wanted: sources.Wanted, actor: Actor, report: StudyReport) -> None:
    """The same without a run of Prefect's. NotFoundError where the source that is asked for is not there."""
    root, tenants = sources.inbox(), known_tenants(tenant)
    if root is not None:
        if not tenant:
            everybody = {one.slug for one in known_tenants(with_inactive=True)}
            report.tally.problem("folders of no tenant", sources.of_no_tenant(root, everybody))
        with Claims(root, with_folders=True) as claims:
            for one in tenants:
                for claimed in sources.claim_waiting(claims, one.slug, wanted):
                    Upload(one, actor, claimed, report).run()
    if wanted.source and not report.sources:
        raise NotFoundError("no complete source of that name waits in the drop folder", field="source")


@dataclass(slots=True)
class Work:
    """A file of a source on its way."""

    file: Unpacked
    looked: Looked
    outcome: FileOutcome


@dataclass(slots=True)
class Upload:
    """One claimed source on its way."""

    tenant: KnownTenant
    actor: Actor
    claimed: ClaimedFile
    report: StudyReport
    _works: list[Work] = field(default_factory=list)

    def run(self) -> None:
        """Copy, judge, store and move it. What is not possible now stays claimed, and the next run takes it up."""
        name = self.claimed.path.name
        outcome = SourceOutcome(len(self.report.sources) + 1, self.tenant.id, sources.fingerprint_of(name))
        order_id = sources.order_named_by(name)
        try:
            with ExitStack() as leftovers:
                outcome.rule = self._unpack(outcome, leftovers) or self._no_order(order_id)
                if not outcome.rule:
                    self._judge_and_store(outcome, order_id)
        except (RetryableError, OperationalError) as error:
            log.warning("a source is left for the next run", source=outcome.fingerprint, error=described(error))
            outcome.rule, outcome.ended = "not_possible_now", "left for the next run"
            self.report.add(outcome)
            return
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  # a source that no rule foresaw must not stop all others
            log.error("a source could not be taken in", source=outcome.fingerprint, error=described(error))
            outcome.rule = "could_not_be_taken_in"
        if outcome.counts["failed"] and not outcome.rule:
            outcome.rule = "some_files_failed"
        self._move(outcome)

    def _judge_and_store(self, outcome: SourceOutcome, order_id: int | None) -> None:
        looked = [each.looked for each in self._works]
        if not looked:
            outcome.rule = "no_image"
            return
        judged = judge(self.tenant.id, outcome.number, looked, has_order=order_id is not None)
        self._let_in(outcome, judged, order_id)
        with tenant_session(self.tenant.id) as session:
            record_validation(session, self.tenant.id, self.actor, judged.validation)

    def _unpack(self, outcome: SourceOutcome, leftovers: ExitStack) -> str:
        """Every file into the spool, looked at there; the rule that keeps all out."""
        contents = Contents(self.claimed.path, spool_of(self.tenant.slug))
        files: list[Unpacked] = []
        try:
            for each in contents.files():
                leftovers.callback(each.path.unlink, missing_ok=True)
                files.append(each)
                self.report.total += 1
        except RefusedSourceError as refused:
            return refused.rule
        finally:
            outcome.skipped = contents.skipped
        with ThreadPoolExecutor(LANES) as lanes:
            found = list(lanes.map(_look, range(1, len(files) + 1), files))
        for file, looked in zip(files, found, strict=True):
            fate = FileOutcome(looked.number, file.digest[: sources.FINGERPRINT])
            outcome.files.append(fate)
            if looked.rule == "not_an_image" and OTHER_ENDINGS.fullmatch(file.filename):
                fate.ended = "no image"
                self.report.done += 1
            else:
                self._works.append(Work(file, looked, fate))
        return ""

    def _no_order(self, order_id: int | None) -> str:
        """The rule, where the order that the source's name names is not there."""
        if order_id is None:
            return ""
        try:
            with tenant_session(self.tenant.id) as session:
                get_order(session, self.tenant.id, order_id)
        except NotFoundError:
            return "no_such_order"
        return ""

    def _let_in(self, outcome: SourceOutcome, judged: Judged, order_id: int | None) -> None:
        for what, number in judged.told.items():
            self.report.tally.count(f"files told of: {what}", number)
        outcome.rule = judged.rule
        for work in self._works:
            work.outcome.rule = judged.held.get(work.looked.number, "")
        if judged.rule:
            return
        storing = Storing(self.tenant, self.actor, order_id, self.report)
        # Pictures last: the study they join says whose they are.
        dicom = [each for each in self._works if not each.looked.is_picture]
        pictures = [each for each in self._works if each.looked.is_picture]
        study_uid = _study_of_pictures(self.tenant.id, self._works) if order_id is None else None
        with ThreadPoolExecutor(LANES) as lanes:
            _all(lanes, lambda work: storing.take(work, None), dicom)
            _all(lanes, lambda work: storing.take(work, study_uid), pictures)

    def _move(self, outcome: SourceOutcome) -> None:
        """To its end; one that cannot be moved stays claimed, and the next run tries again."""
        now = utc_now()
        try:
            if outcome.is_good:
                folder = sources.archive(self.claimed, now)
                outcome.ended = "archived"
            else:
                folder = sources.quarantine(self.claimed, now, outcome.reason())
                outcome.ended = "quarantined"
            moving.sync_folder(folder)
        except OSError as error:
            log.error("a source could not be moved", source=outcome.fingerprint, error=type(error).__name__)
            outcome.ended = "not moved"
        self.report.add(outcome)


class Storing:
    """Where the files of one source are taken in; thread-safe."""

    def __init__(self, tenant: KnownTenant, actor: Actor, order_id: int | None, report: StudyReport) -> None:
        self._intake = Intake(tenant.id, actor, storage_for_new(tenant.slug), pool())
        self._spool: Spool = spool_of(tenant.slug)
        self._order_id, self._report = order_id, report

    def take(self, work: Work, study_uid: str | None) -> None:
        """Store one file, or hold it with the rule that keeps it out."""
        offer = Offer(
            path=work.file.path,
            filename=work.file.filename,
            source=SOURCE,
            digest=work.file.digest,
            declared=Declared(study_uid=study_uid),
            radiology_order_id=self._order_id,
            instance_number=work.looked.number if work.looked.is_picture else None,
        )
        fate = work.outcome
        try:
            self._store(offer, fate)
        except (RetryableError, ConfigError, OperationalError):
            raise
        except Exception as error:  # noqa: BLE001  # a file that no rule foresaw must not stop all others
            log.error("an image could not be stored", file=fate.fingerprint, error=described(error))
            fate.ended, fate.rule = "failed", "could_not_be_stored"
        self._report.done += 1

    def _store(self, offer: Offer, fate: FileOutcome) -> None:
        try:
            if fate.rule:
                raise NotLetInError(fate.rule)
            taken = self._intake.take(offer).taken
            fate.ended, fate.image_id = "stored" if taken.is_new else "repeated", taken.image_id
        except NotLetInError as error:
            fate.upload_id = self._intake.hold(offer, error, lambda number: self._spool.keep_as(offer.path, number))
            fate.ended, fate.rule = "held", error.rule


def _look(number: int, file: Unpacked) -> Looked:
    try:
        return Looked.at(number, pool().read(file.path))
    except (NotAnImageError, HeldError) as error:
        return Looked(number, rule=error.rule)


def _study_of_pictures(tenant_id: int, works: Sequence[Work]) -> str:
    """The one study beside them, else one of their own: the same for the same pictures every time."""
    studies = {each.looked.study_uid for each in works if each.looked.study_uid}
    if len(studies) == 1:
        return studies.pop()
    return derived_uid(tenant_id, "drop", *sorted(each.file.digest for each in works if each.looked.is_picture))


def _all(lanes: ThreadPoolExecutor, take: Callable[[Work], Answer], works: Sequence[Work]) -> None:
    for _ in lanes.map(take, works):
        pass
