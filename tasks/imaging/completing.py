"""Tasks of complete-uploads: uploads that came to a stop are finished, told of, given up; the spool is swept."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import OperationalError

from models.imaging.describing import describe_pending
from models.imaging.intake import Intake
from models.imaging.offers import FOUND, Offer, offer_of
from models.imaging.rules import HELD_RULES, NotLetInError
from models.imaging.stores import uploads
from models.imaging.stores.completing import complete_ones, states_of
from models.imaging.stores.reminding import remind_of_stopped
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, ConflictError, RetryableError
from models.kernel.settings import settings
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.backends import storage_for, storage_for_new
from tasks.clients.storage.growing import BusyError, Growing
from tasks.clients.storage.spool import spool_of
from tasks.imaging.outcomes import (
    EXPIRED,
    HELD,
    NOBODY,
    NOT_GIVEN_UP,
    NOT_REMOVED,
    NOT_TAKEN_IN,
    REMINDED,
    UploadReport,
)
from tasks.runs import batch_task, described, flow_actor

KEEP_SECONDS = 86_400
"""Of a file in the spool that belongs to nothing: a process at work may be about to name it."""
REACT = timedelta(hours=24)
"""The least between a reminder and giving up."""
MOST_DESCRIBED = 5_000
MOST_NAMED = 20
"""Uploads that a run's message names."""
DAMAGED = ("checksum", "size")
"""What the way damaged: the sender begins again."""
Work = Callable[["Completing"], None]

log = structlog.get_logger(__name__)


@batch_task
async def finish_uploads(tenant: str) -> UploadReport:
    """Take in what is complete in the spool though the process that received it is gone."""
    return await asyncio.to_thread(complete, tenant, flow_actor(), Completing.finish)


@batch_task
async def remind_and_expire(tenant: str) -> UploadReport:
    """Tell uploaders of what came to a stop, and give up what came to a stop long ago."""
    return await asyncio.to_thread(complete, tenant, flow_actor(), Completing.remind, Completing.expire)


@batch_task
async def sweep_spool(tenant: str) -> UploadReport:
    """Remove from the spool what belongs to nothing any more."""
    return await asyncio.to_thread(complete, tenant, flow_actor(), Completing.sweep)


@batch_task
async def describe_new(tenant: str) -> UploadReport:
    """Read the attributes of new images, so that nobody who opens a study waits for it."""
    return await asyncio.to_thread(complete, tenant, flow_actor(), Completing.describe)


def complete(tenant: str, actor: Actor, *works: Work) -> UploadReport:
    """These works for a tenant (slug), or for all for an empty one, without a run of Prefect's."""
    report = UploadReport()
    for one in known_tenants(tenant):
        completing = Completing(one, actor, report)
        for work in works:
            work(completing)
    return report


class Completing:
    """One tenant's uploads. Every upload is locked while it is looked at, as it is while parts of it are received."""

    def __init__(self, tenant: KnownTenant, actor: Actor, report: UploadReport) -> None:
        self._tenant, self._actor, self._report, self._tally = tenant, actor, report, report.tally
        self._ended = partial(report.count_one, tenant.slug)
        self._spool = spool_of(tenant.slug)

    def finish(self) -> None:
        """Those whose bytes are all here: stored, or held with the rule that keeps them out."""
        sizes = {number: self._spool.size_of(number) for number in self._spool.numbered()}
        with tenant_session(self._tenant.id) as session:
            numbers = complete_ones(session, self._tenant.id, sizes)
        self._each(numbers, self._finish, NOT_TAKEN_IN)

    def remind(self) -> None:
        """One mail per uploader."""
        now = utc_now()
        before = now - timedelta(hours=settings().upload_remind_hours)
        with tenant_session(self._tenant.id) as session:
            told, nobody = remind_of_stopped(session, self._tenant.id, self._actor, before=before, now=now)
        for number in told:
            self._ended(number, REMINDED)
        for number in nobody:
            self._ended(number, NOBODY)

    def expire(self) -> None:
        """Declared uploads that no byte came for since long. After a standstill people are told first, as ever."""
        now = utc_now()
        before, told = now - timedelta(days=settings().upload_expire_days), now - REACT
        with tenant_session(self._tenant.id) as session:
            waiting = uploads.waiting_since(session, self._tenant.id, before, told_before=told)
        numbers = [each.id for each in waiting]
        self._each(numbers, partial(self._expire, before), NOT_GIVEN_UP)

    def sweep(self) -> None:
        """Temporary files of processes that are gone, and numbered ones whose upload has ended or is not known."""
        self._tally.count("temporary files removed", self._spool.sweep(KEEP_SECONDS))
        numbered = self._spool.numbered()
        with tenant_session(self._tenant.id) as session:
            states = states_of(session, self._tenant.id, numbered.keys())
        ended = sorted(number for number in numbered if states.get(number) not in uploads.OPEN)
        self._each(ended, partial(self._sweep, states.keys()), NOT_REMOVED)

    def describe(self) -> None:
        """Images that are not described, and series whose metadata is not made."""
        tenant = self._tenant
        place = partial(storage_for, tenant_slug=tenant.slug)
        try:
            number = describe_pending(tenant.id, tenant.slug, place, pool(), self._spool.fresh, most=MOST_DESCRIBED)
        except ConfigError as error:
            log.error("images could not be described", tenant=tenant.id, error=described(error))
            self._tally.problem("tenants whose images cannot be read").note(f"images of tenant {tenant.id}")
        else:
            self._tally.count("images described", number)

    def _each(self, numbers: Iterable[int], work: Callable[[int], None], failed: str) -> None:
        """One that no rule foresaw, or that a person must see to, is told of and stops no other."""
        for number in numbers:
            try:
                work(number)
            except (BusyError, ConflictError, FileNotFoundError):
                self._tally.count("being sent")
            except (RetryableError, OperationalError):
                raise
            except Exception as error:  # noqa: BLE001  # counted, and the run is Failed
                log.error(f"an upload is {failed}", upload=number, error=described(error))
                self._ended(number, failed)
                if self._tally.problems[failed] <= MOST_NAMED:
                    self._tally.note(f"upload {number} of tenant {self._tenant.id}")

    def _finish(self, number: int) -> None:
        with self._spool.opened(number) as growing:
            with tenant_session(self._tenant.id) as session:
                upload = uploads.get_upload(session, self._tenant.id, number)
            if upload.state != "declared":
                return  # it ended meanwhile: swept with the rest
            growing.sync()
            try:
                self._intake().take(offer_of(upload, growing.path))
                self._ended(number, "finished")
            except NotLetInError as error:
                if error.rule in DAMAGED:
                    growing.empty()
                    with tenant_session(self._tenant.id) as session:
                        uploads.note_progress(session, self._tenant.id, number, 0)
                    self._ended(number, "damaged on the way", error.rule)
                    return
                self._spool.sync()
                with tenant_session(self._tenant.id) as session:
                    uploads.hold(session, self._tenant.id, self._actor, number, error.rule)
                self._ended(number, HELD, error.rule)

    def _expire(self, before: datetime, number: int) -> None:
        with self._spool.opened(number):
            with tenant_session(self._tenant.id) as session:
                upload = uploads.get_upload(session, self._tenant.id, number, lock=True)
                if upload.state != "declared" or upload.touched_at >= before:
                    return
                ending = uploads.Ending("expired", "no byte came for too long")
                uploads.give_up(session, self._tenant.id, self._actor, number, ending)
            self._spool.discard(number)
        self._ended(number, EXPIRED)

    def _sweep(self, known: Collection[int], number: int) -> None:
        is_old = self._spool.of_upload(number).stat().st_ctime < time.time() - KEEP_SECONDS
        if number in known or is_old:
            self._remove(number, is_known=number in known)

    def _remove(self, number: int, *, is_known: bool) -> None:
        with self._spool.opened(number) as growing:
            with tenant_session(self._tenant.id) as session:
                states = states_of(session, self._tenant.id, [number])
            if states.get(number) in uploads.OPEN or bool(states) != is_known:
                return
            if not is_known and growing.size and self._taken_in(growing):
                return
            self._spool.discard(number)
            self._tally.count("files of ended uploads removed")

    def _taken_in(self, growing: Growing) -> bool:
        """A file whose upload is not known, after a restore for example: an image is not thrown away."""
        growing.sync()
        offer, intake = Offer(path=growing.path, filename="image", source=FOUND), self._intake()
        try:
            intake.take(offer)
        except NotLetInError as error:
            if error.rule not in HELD_RULES:
                return False
            number = intake.hold(offer, error, lambda number: self._spool.keep_as(growing.path, number))
            self._report.list_one(self._tenant.slug, number, HELD, error.rule)
        self._tally.count("strays taken in")
        return True

    def _intake(self) -> Intake:
        return Intake(self._tenant.id, self._actor, storage_for_new(self._tenant.slug), pool())
