"""Images that are ready at the same moment, stored by one transaction: its fixed costs are most of an image's.

Whoever comes first leads: what has come in by then is the group. The leader inserts all rows with one statement, every
caller puts its own bytes meanwhile, and the leader counts and commits. Nobody waits for others to come. What does not
fit (a new series, an order to be found, a repetition), and everything of a group that fails, is stored by itself.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from models.imaging.stores.writing import NewImage, Taken
from models.imaging.stores.writing_groups import Member, finish_group, insert_group
from models.kernel.audit import Actor
from models.kernel.tenancy import tenant_pipeline

MOST = 16


class _PutFailedError(Exception):
    """An object of the group could not be kept."""


@dataclass(slots=True)
class Item:
    """One caller's image. `put` keeps its objects and gives their keys, `alone` stores it without a group.

    `taken` is set once it is committed.
    """

    actor: Actor
    new: NewImage
    put: Callable[[], Sequence[str]]
    alone: Callable[[], Taken]
    taken: Taken | None = None
    keys: Sequence[str] | None = None
    has_put: threading.Event = field(default_factory=threading.Event)
    _role: str = ""
    _is_told: threading.Event = field(default_factory=threading.Event)

    def tell(self, role: str) -> None:
        """What its caller has to do next: `lead`, `put`, or `return` with what it has, if anything."""
        self._role = role
        self._is_told.set()

    def listen(self) -> str:
        """Wait to be told."""
        self._is_told.wait()
        self._is_told.clear()
        return self._role

    def keep(self) -> None:
        """Put the objects; a failure leaves no keys, and is met again when the image is stored by itself."""
        try:
            with suppress(Exception):
                self.keys = self.put()
        finally:
            self.has_put.set()


class Grouping:
    """The groups of one tenant and backend in this process."""

    def __init__(self, tenant_id: int, backend: str) -> None:
        self._tenant_id, self._backend = tenant_id, backend
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._is_led = False

    def write(self, item: Item) -> Taken:
        """Store the image together with others that are ready, or by itself where it does not fit."""
        with self._lock:
            self._waiting.append(item)
            role = "lead" if not self._is_led else ""
            self._is_led = True
        role = role or item.listen()
        while role == "put":
            item.keep()
            role = item.listen()
        if role == "lead":
            self._lead(item)
        return item.taken or item.alone()

    def _lead(self, own: Item) -> None:
        with self._lock:
            group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            if len(group) > 1:
                with suppress(Exception):  # each is stored by itself then, and meets its own error there
                    self._commit(group, own)
            else:
                own.taken = own.alone()  # meanwhile the next group gathers
        finally:
            for item in group:
                if item is not own:
                    item.tell("return")
            with self._lock:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].tell("lead")

    def _commit(self, group: Sequence[Item], own: Item) -> None:
        by_uid = {item.new.found.image_uid: item for item in reversed(group)}  # of doubles the first
        with tenant_pipeline(self._tenant_id) as pipeline:
            made = insert_group(pipeline, self._tenant_id, self._backend, [item.new for item in by_uid.values()])
            items = [(by_uid[uid], taken) for uid, taken in made.items()]
            for item, _ in items:
                if item is not own:
                    item.tell("put")
            for item, _ in items:
                if item is own:
                    item.keep()
            for item, _ in items:
                item.has_put.wait()
            members = [Member(item.actor, item.new, taken, item.keys) for item, taken in items if item.keys is not None]
            if len(members) < len(items):
                raise _PutFailedError
            finish_group(pipeline, self._tenant_id, members)
        for item, taken in items:
            item.taken = taken


@lru_cache(maxsize=1024)
def grouping_of(tenant_id: int, backend: str) -> Grouping:
    """The one of this process."""
    return Grouping(tenant_id, backend)
