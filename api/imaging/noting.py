"""Who looked at whose images, in the audit trail: once for a study and viewer in a few minutes.

A viewer makes hundreds of requests for one study: a row for each would bury what the trail is for.
"""

import threading
import time
from collections.abc import Iterable

from sqlalchemy.orm import Session

from api.imaging.viewing import View
from models.imaging.stores.studies import note_studies_read
from models.imaging.tables import RadiologyStudy

AGAIN_AFTER_SECONDS = 300.0
MOST_REMEMBERED = 50_000
Mark = tuple[int, str, str, str | None, int]


class Noted:
    """What this process wrote lately. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Mark, float] = {}

    def new(self, marks: Iterable[Mark]) -> set[Mark]:
        """Those that are not remembered."""
        now = time.monotonic()
        with self._lock:
            return {mark for mark in marks if self._until.get(mark, 0.0) < now}

    def remember(self, marks: Iterable[Mark]) -> None:
        """Not to be written again for a while; to be called after the commit."""
        until = time.monotonic() + AGAIN_AFTER_SECONDS
        with self._lock:
            if len(self._until) > MOST_REMEMBERED:
                self._until.clear()
            self._until |= dict.fromkeys(marks, until)

    def forget(self) -> None:
        """Everything, for tests."""
        with self._lock:
            self._until.clear()


NOTED = Noted()


def note_looks(session: Session, view: View, studies: Iterable[RadiologyStudy]) -> set[Mark]:
    """Write who looks at these studies; what NOTED is to remember of it. A viewer's address is noted when it opens."""
    if view.grant_id is not None:
        return set()
    actor = view.actor
    marks = {(view.tenant_id, actor.kind, actor.id, actor.session_id, study.id): study for study in studies}
    new = NOTED.new(marks)
    if new:
        note_studies_read(session, view.tenant_id, actor, [study for mark, study in marks.items() if mark in new])
    return new
