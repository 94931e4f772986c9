"""move-objects: to another storage, read back there, and only then removed where they were.

Killed at any step there is no row whose object is not there. What is left then is a copy that nobody needs: a rerun
uses the one at the new place and removes the one at the old.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from models.imaging.files import keep, sha256_of
from models.imaging.ports import MissingObjectError, StoredObject
from models.imaging.stores.checking import KeptImage, images_by_uid
from models.imaging.stores.moving import images_at, remove_if_left, switch_place
from models.imaging.stores.writing import Bytes
from models.imaging.uids import parts_of_key
from models.kernel.audit import Actor
from models.kernel.errors import InvalidError
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.spool import spool_of
from tasks.imaging.objects import content_of, fetched, key_digest
from tasks.imaging.outcomes import Cell
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally

AT_ONCE = 100
LANES = 4
LISTED_AT_ONCE = 1000
MOVED, ELSEWHERE = "moved", "changed meanwhile"
BACKENDS = ("filesystem", "s3")


class Move:
    """One run from a backend to another; opaque to Prefect."""

    __slots__ = ("actor", "after", "left", "places", "rows", "tally", "tenants")

    def __init__(self, tenants: Sequence[KnownTenant], actor: Actor, places: tuple[str, str], most: int) -> None:
        self.tenants, self.actor, self.places, self.left = tenants, actor, places, most
        self.after: dict[int, int] = {}
        """The last image looked at, by tenant."""
        self.tally = Tally()
        self.rows: list[dict[str, Cell]] = []

    def __repr__(self) -> str:
        return f"<Move: {self.tally.message}>"


@batch_task
async def begin_move(tenant: str, from_backend: str, to_backend: str, most: int) -> Move:
    """A run that moves so many images at the most; InvalidError for a backend that is none, or the same twice."""
    return await asyncio.to_thread(begin, tenant, flow_actor(), (from_backend, to_backend), most)


@batch_task
async def move_some(move: Move) -> int:
    """Move the next images; how many were looked at. Nothing when all are done."""
    return await asyncio.to_thread(move_next, move)


@batch_task
async def remove_leftovers(move: Move) -> None:
    """Remove what killed runs left at the old place of images that are at the new one."""
    await asyncio.to_thread(clear, move)


def begin(tenant: str, actor: Actor, places: tuple[str, str], most: int) -> Move:
    """The same without a run of Prefect's."""
    for field, backend in zip(("from_backend", "to_backend"), places, strict=True):
        if backend not in BACKENDS:
            raise InvalidError("is filesystem or s3", field=field)
    if places[0] == places[1]:
        raise InvalidError("must not be where they are", field="to_backend")
    if most < 1:
        raise InvalidError("must be at least 1", field="most")
    return Move(known_tenants(tenant, with_inactive=True), actor, places, most)


def move_next(move: Move) -> int:
    """The same without a run of Prefect's."""
    for tenant in move.tenants:
        after, most = move.after.get(tenant.id, 0), min(AT_ONCE, move.left)
        with tenant_session(tenant.id) as session:
            images = images_at(session, tenant.id, move.places[0], after=after, most=most)
        if images:
            move.left -= len(images)
            move.after[tenant.id] = images[-1].id
            one = Relocation(tenant, move)
            with ThreadPoolExecutor(LANES) as lanes:
                for image, outcome in zip(images, lanes.map(one.take, images), strict=True):
                    _tell(move, tenant, image, outcome)
            return len(images)
    return 0


def clear(move: Move) -> None:
    """The same without a run of Prefect's."""
    for tenant in move.tenants:
        Relocation(tenant, move).clear()


class Relocation:
    """One tenant's images on their way; thread-safe."""

    def __init__(self, tenant: KnownTenant, move: Move) -> None:
        self._tenant, self._move = tenant, move
        self._old, self._new = (storage_for(backend, tenant.slug) for backend in move.places)
        self._spool = spool_of(tenant.slug)

    def take(self, image: KeptImage) -> str:
        """Copy, read back, switch, remove; what became of it."""
        with ExitStack() as leftovers:
            new_keys = []
            for key, checksum, size, mime_type in image.objects:
                try:
                    path = fetched(self._old, key, self._spool)
                except MissingObjectError:
                    return self._unless_moved(image, "missing")
                leftovers.callback(path.unlink, missing_ok=True)
                if (sha256_of(path), path.stat().st_size) != (checksum, size):
                    return "corrupt"
                new_keys.append(keep(self._new, Bytes(key, checksum, size), path, mime_type))
                try:
                    is_kept = content_of(self._new, new_keys[-1]) == (checksum, size)
                except MissingObjectError:  # a move in the other direction took it for a leftover: with the next run
                    return ELSEWHERE
                if not is_kept:
                    return "other bytes were read back"
        if not self._switch(image, new_keys):
            return ELSEWHERE
        self._remove(image.id, image.keys)
        return MOVED

    def clear(self) -> None:
        """Objects at the old place under the keys of images that are at the new one, where these are sound."""
        for objects in _groups(self._old.list(), LISTED_AT_ONCE):
            keys = {each.key: parts[2] for each in objects if (parts := parts_of_key(each.key)) is not None}
            with tenant_session(self._tenant.id) as session:
                images = images_by_uid(session, self._tenant.id, set(keys.values()))
            for key, image_uid in keys.items():
                image = images.get(image_uid)
                if image is not None and image.backend == self._new.name and self._is_sound_copy(image, key):
                    self._move.tally.count("leftovers removed", self._remove(image.id, [key]))

    def _is_sound_copy(self, image: KeptImage, key: str) -> bool:
        """Whether the same bytes lie at both places: the object that goes is one too many."""
        said = next((each for each in image.objects if each[0] == key), None)
        if said is None:
            return False
        try:
            here = content_of(self._old, key)
            return here == content_of(self._new, key) == (said[1], said[2])
        except MissingObjectError:
            return False

    def _switch(self, image: KeptImage, keys: Sequence[str]) -> bool:
        def are_there() -> bool:
            found = [self._new.stat(key) for key in keys]
            sizes = [size for _, _, size, _ in image.objects]
            return [each.size if each is not None else None for each in found] == sizes

        with tenant_session(self._tenant.id) as session:
            to = (self._new.name, keys)
            return switch_place(session, self._tenant.id, self._move.actor, image, to, are_there)

    def _remove(self, image_id: int, keys: Iterable[str]) -> bool:
        def remove() -> None:
            for key in keys:
                self._old.remove(key)

        with tenant_session(self._tenant.id) as session:
            return remove_if_left(session, self._tenant.id, image_id, self._old.name, remove)

    def _unless_moved(self, image: KeptImage, problem: str) -> str:
        """The object is gone: because another run moved it meanwhile?"""
        with tenant_session(self._tenant.id) as session:
            now = images_by_uid(session, self._tenant.id, [image.image_uid])[image.image_uid]
        return problem if (now.backend, now.keys) == (image.backend, image.keys) else ELSEWHERE


def _tell(move: Move, tenant: KnownTenant, image: KeptImage, outcome: str) -> None:
    if outcome in (MOVED, ELSEWHERE):
        move.tally.count(outcome)
        return
    move.tally.problem(f"not moved: {outcome}")
    move.rows.append(
        {"tenant": tenant.id, "image": image.id, "key sha256": key_digest(image.keys[0]), "not moved": outcome}
    )


def _groups(objects: Iterator[StoredObject], most: int) -> Iterator[list[StoredObject]]:
    group: list[StoredObject] = []
    for each in objects:
        group.append(each)
        if len(group) == most:
            yield group
            group = []
    if group:
        yield group
