"""Objects without an image, taken in as if they had been sent again."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from models.imaging.intake import Intake
from models.imaging.offers import FOUND, Offer
from models.imaging.ports import (
    Instance,
    MissingObjectError,
    NotAnImageError,
    ObjectStorage,
    Picture,
    StoredObject,
)
from models.imaging.rules import Declared, NotLetInError
from models.imaging.stores.assigning import found_order
from models.imaging.stores.checking import images_by_uid
from models.kernel.audit import Actor
from models.kernel.errors import HeldError
from models.kernel.tenancy import KnownTenant, tenant_session
from tasks.clients.dicom.pool import pool
from tasks.clients.storage.spool import spool_of
from tasks.imaging.objects import fetched

Outcome = int | NotLetInError | None
"""The image's id, the rule that keeps it out, or None for a copy that is not needed."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    object: StoredObject
    path: Path
    found: Instance | Picture | NotLetInError


class Adopting:
    """Takes objects of one tenant at one backend in, where they are: their rows name the very objects."""

    def __init__(self, tenant: KnownTenant, actor: Actor, storage: ObjectStorage) -> None:
        self._tenant, self._storage = tenant, storage
        self._spool = spool_of(tenant.slug)
        self._intake = Intake(tenant.id, actor, storage, pool())

    def take(
        self, uids: tuple[str, str, str], objects: Sequence[StoredObject]
    ) -> Iterator[tuple[StoredObject, Outcome]]:
        """What became of the objects of one image: study, series and image UID are what their keys say."""
        with ExitStack() as leftovers:
            files = [file for each in objects if (file := self._fetch(each, leftovers)) is not None]
            pictures = [file for file in files if isinstance(file.found, Picture)]
            wrapped = next((file.found for file in files if isinstance(file.found, Instance)), None)
            for file in pictures:
                yield file.object, self._take(self._picture(uids, file, wrapped))
            for file in files:
                if isinstance(file.found, NotLetInError):
                    yield file.object, file.found
                elif isinstance(file.found, Instance):
                    taken = self._wrapping(uids[2], file) if pictures else self._take(self._offer(uids, file))
                    yield file.object, taken

    def _fetch(self, each: StoredObject, leftovers: ExitStack) -> _Fetched | None:
        try:
            path = fetched(self._storage, each.key, self._spool)
        except MissingObjectError:
            return None  # gone since the list was made
        leftovers.callback(path.unlink, missing_ok=True)
        try:
            return _Fetched(each, path, pool().read(path))
        except (NotAnImageError, HeldError) as error:
            return _Fetched(each, path, NotLetInError(error.rule))

    def _take(self, offer: Offer) -> Outcome:
        try:
            return self._intake.take(offer).taken.image_id
        except NotLetInError as error:
            return error

    def _offer(self, uids: tuple[str, str, str], file: _Fetched) -> Offer:
        name = file.object.key.rpartition("/")[2]
        return Offer(path=file.path, filename=name, source=FOUND, declared=Declared(*uids))

    def _picture(self, uids: tuple[str, str, str], file: _Fetched, wrapped: Instance | None) -> Offer:
        """With the words that its wrapping says, so that the same wrapping is made."""
        if wrapped is None:
            return self._offer(uids, file)
        with tenant_session(self._tenant.id) as session:
            order = found_order(session, self._tenant.id, wrapped)
        return Offer(
            path=file.path,
            filename=file.object.key.rpartition("/")[2],
            source=FOUND,
            declared=Declared(*uids, patient_code=wrapped.patient_code, accession_number=wrapped.accession_number),
            radiology_order_id=order.id if order is not None else None,
            series_number=wrapped.series_number,
            series_description=wrapped.series_description,
            study_description=wrapped.study_description,
            modality=wrapped.modality,
            instance_number=wrapped.instance_number,
        )

    def _wrapping(self, image_uid: str, file: _Fetched) -> Outcome:
        """The wrapping of a picture that has just been taken in; another one may have been made instead."""
        with tenant_session(self._tenant.id) as session:
            image = images_by_uid(session, self._tenant.id, [image_uid]).get(image_uid)
        return image.id if image is not None and file.object.key in image.keys else None
