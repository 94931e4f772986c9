"""What lies in a storage compared with what should: in both directions, study by study.

An object without an image is taken in as if it had been sent again: it was acknowledged before a restore from an older
backup, or left by a process that was killed before its commit. Nothing is removed here.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from models.imaging.ports import MissingObjectError, ObjectStorage, StoredObject
from models.imaging.rules import NotLetInError
from models.imaging.stores.checking import (
    KeptImage,
    images_by_uid,
    images_of_studies,
    note_found,
    studies_after,
)
from models.imaging.uids import parts_of_key
from models.kernel.audit import Actor
from models.kernel.tenancy import KnownTenant, tenant_session
from tasks.imaging.adopting import Adopting
from tasks.imaging.objects import MISSING, content_of, key_digest
from tasks.imaging.outcomes import Cell
from tasks.tally import Tally

YOUNG_SECONDS = 3600
"""An object may be so young without its image: the commit comes after it."""
OBJECTS_AT_ONCE = 2000
STUDIES_AT_ONCE = 500
WRAPPED = "-wrapped.dcm"


class Strays:
    """One tenant's objects at one backend."""

    def __init__(
        self, tenant: KnownTenant, actor: Actor, storage: ObjectStorage, tally: Tally, rows: list[dict[str, Cell]]
    ) -> None:
        self._tenant, self._actor, self._storage, self._tally, self._rows = tenant, actor, storage, tally, rows
        self._adopting = Adopting(tenant, actor, storage)
        self._seen: set[str] = set()

    def look(self) -> None:
        """Note missing objects, take in orphans, count copies nobody needs."""
        for objects in self._by_study():
            self._compare(objects)
        last = 0
        while True:
            with tenant_session(self._tenant.id) as session:
                studies = studies_after(session, self._tenant.id, last, most=STUDIES_AT_ONCE)
                if not studies:
                    return
                last = studies[-1][0]
                unseen = [uid for _, uid in studies if uid not in self._seen]
                images = images_of_studies(session, self._tenant.id, unseen)
            self._note_missing(images, ())

    def _by_study(self) -> Iterator[list[StoredObject]]:
        """Objects of whole studies, so many that a query is worth its while."""
        group: list[StoredObject] = []
        study = ""
        for each in self._storage.list():
            parts = parts_of_key(each.key)
            if parts is None:
                self._tell(each, "orphans not taken in", "strange key")
                continue
            if parts[0] != study:
                if len(group) >= OBJECTS_AT_ONCE:
                    yield group
                    group = []
                study = parts[0]
                self._seen.add(study)
            group.append(each)
        if group:
            yield group

    def _compare(self, objects: Sequence[StoredObject]) -> None:
        places = {each.key: _parts(each.key) for each in objects}
        with tenant_session(self._tenant.id) as session:
            images = images_of_studies(session, self._tenant.id, {parts[0] for parts in places.values()})
        self._note_missing(images, places.keys())
        known = {key for image in images if image.backend == self._storage.name for key in image.keys}
        strays = [each for each in objects if each.key not in known]
        if not strays:
            return
        with tenant_session(self._tenant.id) as session:
            theirs = images_by_uid(session, self._tenant.id, {places[each.key][2] for each in strays})
        orphans: dict[tuple[str, str, str], list[StoredObject]] = defaultdict(list)
        for each in strays:
            study_uid, series_uid, image_uid, _ = places[each.key]
            image = theirs.get(image_uid)
            if image is not None:
                self._of_image(each, image)
            elif time.time() - each.modified_at < YOUNG_SECONDS:
                self._tally.count("objects too young to judge")
            else:
                orphans[(study_uid, series_uid, image_uid)].append(each)
        for uids, of_image in orphans.items():
            self._adopt(uids, of_image)

    def _note_missing(self, images: Sequence[KeptImage], listed: Collection[str]) -> None:
        """Images here whose objects were not listed, and are not there when one looks again."""
        gone = []
        for image in images:
            if image.backend != self._storage.name or image.problem == MISSING:
                continue
            if any(key not in listed and self._storage.stat(key) is None for key in image.keys):
                gone.append((image, MISSING))
        if gone:
            with tenant_session(self._tenant.id) as session:
                note_found(session, self._tenant.id, self._actor, gone)

    def _of_image(self, each: StoredObject, image: KeptImage) -> None:
        """A second object of an image: a copy nobody needs, the bytes that are missing elsewhere, or other ones."""
        if image.backend == self._storage.name and each.key in image.keys:
            return  # stored since the list was made
        try:
            digest, _ = content_of(self._storage, each.key)
        except MissingObjectError:
            return
        if image.problem is not None and digest == image.objects[0][1]:
            self._adopt(_parts(each.key)[:3], [each])
        elif digest in {checksum for _, checksum, _, _ in image.objects} or self._is_wrapping(each, image):
            self._tally.count("surplus copies")
            self._rows.append(self._row(each, "surplus copy", image.id))
        else:
            self._tell(each, "orphans not taken in", "other_bytes", image.id)

    def _is_wrapping(self, each: StoredObject, image: KeptImage) -> bool:
        """The same picture wrapped with other words, which has been wrapped anew since."""
        return len(image.objects) == 2 and each.key.endswith(WRAPPED)

    def _adopt(self, uids: tuple[str, str, str], objects: Sequence[StoredObject]) -> None:
        for each, outcome in self._adopting.take(uids, objects):
            if isinstance(outcome, NotLetInError):
                self._tell(each, "orphans not taken in", outcome.rule)
            elif outcome is None:
                self._tally.count("surplus copies")
                self._rows.append(self._row(each, "surplus copy"))
            else:
                self._tally.count("orphans taken in")
                self._rows.append(self._row(each, "taken in", outcome))

    def _tell(self, each: StoredObject, what: str, rule: str, image_id: int | None = None) -> None:
        self._tally.problem(what)
        self._rows.append(self._row(each, rule, image_id))

    def _row(self, each: StoredObject, found: str, image_id: int | None = None) -> dict[str, Cell]:
        return {
            "tenant": self._tenant.id,
            "backend": self._storage.name,
            "image": image_id,
            "key sha256": key_digest(each.key),
            "found": found,
        }


def _parts(key: str) -> tuple[str, str, str, str]:
    parts = parts_of_key(key)
    if parts is None:
        raise ValueError("a key that was one of ours is none")
    return parts
