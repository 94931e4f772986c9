"""The one way in for every image, whichever door it came by: read, compared, put where it stays, written down."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache

import structlog

from models.imaging.files import keep, sha256_of
from models.imaging.offers import Offer, said_of
from models.imaging.ports import DICOM, ImageParser, ObjectStorage
from models.imaging.preparing import Preparing, Ready
from models.imaging.rules import NotLetInError
from models.imaging.stores.uploads import hold_new
from models.imaging.stores.writing import Bytes, NewImage, Taken, Writing, write_image
from models.imaging.stores.writing_groups import Member, finish_group, insert_group
from models.imaging.uids import derived_uid
from models.kernel.audit import Actor
from models.kernel.errors import LabwireError
from models.kernel.pipeline import Pipeline
from models.kernel.tenancy import tenant_pipeline, tenant_session

THREADS = 16
"""That put the objects of groups."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an offer."""

    taken: Taken
    study_uid: str
    series_uid: str
    image_uid: str
    sop_class_uid: str
    checksum: str
    mime_type: str


class Intake:
    """Takes images in for one tenant and actor. Thread-safe: every call has transactions of its own."""

    def __init__(self, tenant_id: int, actor: Actor, storage: ObjectStorage, parser: ImageParser) -> None:
        self._tenant_id, self._actor, self._storage = tenant_id, actor, storage
        self._preparing = Preparing(tenant_id, parser)

    def take(self, offer: Offer) -> Stored:
        """Store the image, durably, with its rows; the same bytes again are as good as stored now.

        NotLetInError names the rule that keeps it out; the file stays where it is then, for whoever holds it.
        RetryableError: nothing was stored, and the file stays too.
        """
        (result,) = self.take_many([offer])
        if isinstance(result, Exception):
            raise result
        return result

    def take_many(self, offers: Sequence[Offer]) -> list[Stored | Exception]:
        """The same of several, each as if it had come alone; in their order, an error where one was not stored.

        The next images of their series are stored by one transaction: its fixed costs are most of an image's.
        """
        results: dict[int, Stored | Exception] = {}
        ready: dict[int, Ready] = {}
        for index, offer in enumerate(offers):
            try:
                ready[index] = self._preparing.ready(offer)
            except Exception as error:  # noqa: BLE001 # each one's own error is its caller's to raise
                results[index] = error
        for index, taken in self._write_all(ready).items():
            if isinstance(taken, Exception):
                ready[index].forget_wrapped(offers[index].path)
                results[index] = taken
            else:
                ready[index].forget()
                results[index] = _stored(ready[index].new, taken)
        return [results[index] for index in range(len(offers))]

    def take_within(self, pipeline: Pipeline, offer: Offer) -> tuple[Stored, Callable[[], None]]:
        """The same as `take` in a running transaction of the tenant; once it is committed, call what comes with it.

        It removes the file that was offered: until then only the transaction's rows know of the image.
        """
        ready = self._preparing.ready(offer)
        try:
            return _stored(ready.new, self._write_in(pipeline, ready)), ready.forget
        except Exception:
            ready.forget_wrapped(offer.path)
            raise

    def hold(self, offer: Offer, error: NotLetInError, keep_as: Callable[[int], None]) -> int:
        """Keep what a rule keeps out, with the rule, for a person: the upload's number.

        `keep_as` makes the file the one of that number, within the transaction.
        """
        if offer.settle is not None:
            offer.settle()
        digest, size = offer.digest or sha256_of(offer.path), offer.path.stat().st_size
        found, declared = error.found, offer.declared
        unknown = derived_uid(self._tenant_id, "held", digest)
        values = {
            "source": offer.source,
            "study_uid": (found and found.study_uid) or declared.study_uid or unknown,
            "series_uid": (found and found.series_uid) or declared.series_uid or unknown,
            "image_uid": (found and found.image_uid) or declared.image_uid or unknown,
            "filename": offer.filename,
            "file_size": size,
            "mime_type": offer.mime_type or error.mime_type,
            "checksum": digest,
            "declared": said_of(offer),
            "radiology_order_id": offer.radiology_order_id,
            "uploaded_by": offer.user_id,
        }
        with tenant_session(self._tenant_id) as session:
            upload = hold_new(session, self._tenant_id, self._actor, values, error.rule)
            keep_as(upload.id)
        return upload.id

    def _put(self, one: Ready, each: Bytes) -> str:
        if one.settle is not None:
            one.settle()
        mime_type = one.new.mime_type if each is one.new.original else DICOM
        return keep(self._storage, each, one.files[each.key], mime_type)

    def _put_all(self, several: Sequence[Ready]) -> list[list[str]]:
        """The keys of each one's objects, put at once: what a put takes is its way to the disk, or to S3, and back."""
        putting = [_threads().submit(self._put_both, one) for one in several]
        wait(putting)  # whatever becomes of one: none goes on when we have returned
        return [one.result() for one in putting]

    def _put_both(self, one: Ready) -> list[str]:
        return [self._put(one, each) for each in (one.new.original, one.new.wrapped) if each is not None]

    def _write_all(self, ready: Mapping[int, Ready]) -> dict[int, Taken | Exception]:
        """Together what can be: of a new series the first by itself, which makes the place of the others."""
        left, written = dict(ready), dict[int, Taken | Exception]()
        together = self._write_together(left)
        if together == {} and left:
            first = next(iter(left))
            written[first] = self._write(left.pop(first))
            together = self._write_together(left)
        written |= together or {}
        return written | {index: self._write(one) for index, one in left.items() if index not in written}

    def _write(self, one: Ready) -> Taken | Exception:
        try:
            with tenant_pipeline(self._tenant_id) as pipeline:
                return self._write_in(pipeline, one)
        except Exception as error:  # noqa: BLE001 # its caller's to raise
            return error

    def _write_in(self, pipeline: Pipeline, one: Ready) -> Taken:
        def put(each: Bytes) -> str:
            return self._put(one, each)

        try:
            return write_image(Writing(pipeline, self._tenant_id, self._actor, self._storage.name, put), one.new)
        except NotLetInError as error:
            raise NotLetInError(error.rule, one.new.found, one.new.mime_type) from None

    def _write_together(self, ready: Mapping[int, Ready]) -> Mapping[int, Taken] | None:
        """Those that are the next of their series. None: one failed, nothing is stored, and each is to be tried."""
        if len(ready) < 2:
            return None
        by_uid = {
            one.new.found.image_uid: index for index, one in reversed(list(ready.items()))
        }  # of doubles the first
        try:
            with tenant_pipeline(self._tenant_id) as pipeline:
                images = [ready[index].new for index in by_uid.values()]
                made = insert_group(pipeline, self._tenant_id, self._storage.name, images)
                kept = self._put_all([ready[by_uid[uid]] for uid in made])
                members = [
                    Member(self._actor, ready[by_uid[uid]].new, taken, keys)
                    for (uid, taken), keys in zip(made.items(), kept, strict=True)
                ]
                finish_group(pipeline, self._tenant_id, members)
        except (LabwireError, NotLetInError):
            return None
        except Exception as error:  # noqa: BLE001 # met again, and told, by the one it is about; unless it is the group's
            log.warning("a group of images is stored one by one", tenant=self._tenant_id, error=type(error).__name__)
            return None
        return {by_uid[uid]: taken for uid, taken in made.items()}


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="puts-images")


os.register_at_fork(after_in_child=_threads.cache_clear)


def _stored(new: NewImage, taken: Taken) -> Stored:
    found = new.found
    return Stored(
        taken=taken,
        study_uid=found.study_uid,
        series_uid=found.series_uid,
        image_uid=found.image_uid,
        sop_class_uid=found.sop_class_uid,
        checksum=new.original.checksum,
        mime_type=new.mime_type,
    )
