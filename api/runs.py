"""Asking for runs after something was committed: gathered, so that many wishes of one moment become one run.

The answer to a request never waits for Prefect, nor depends on it: a scheduled run takes whatever was not asked for.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from api.deps import Caller
from models.kernel.errors import LabwireError
from tasks.clients.prefect import PrefectServer

SEND, FETCH, DELIVER = "submit-assignments", "poll-results", "deliver-messages"
COMPLETE = "complete-uploads"
SLOT_SECONDS = 2.0
"""At most one run of a flow in so many seconds from one process."""
log = logging.getLogger(__name__)
Ask = Callable[[str, dict[str, object], str], object]


def start_sending(caller: Caller, assignment_ids: Sequence[int]) -> None:
    """Have these assignments submitted now: one alone whatever its back-off, several with all that is due."""
    _wishes().add(SEND, caller.tenant_slug, assignment_ids)


def start_fetching(caller: Caller, assignment_ids: Sequence[int]) -> None:
    """Have the results of these assignments fetched now."""
    _wishes().add(FETCH, caller.tenant_slug, assignment_ids)


def start_checking(caller: Caller) -> None:
    """Have what was pushed checked now."""
    _wishes().add(FETCH, caller.tenant_slug, ())


def start_delivering(caller: Caller) -> None:
    """Have what is in the outbox delivered now."""
    _wishes().add(DELIVER, caller.tenant_slug, ())


def start_completing(caller: Caller) -> None:
    """Have what came in looked through: its metadata is made before anybody asks for it."""
    _wishes().add(COMPLETE, caller.tenant_slug, ())


def deliver_now(tenant_slug: str) -> None:
    """The same where nobody has signed in."""
    _wishes().add(DELIVER, tenant_slug, ())


class Wishes:
    """Runs that were wished for and not yet asked for. One thread asks; it ends with the process."""

    def __init__(self, ask: Ask, *, slot_seconds: float = SLOT_SECONDS) -> None:
        self._ask, self._slot_seconds = ask, slot_seconds
        self._waiting: dict[str, dict[str, set[int]]] = {}
        self._lock, self._some = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, flow: str, tenant: str, assignment_ids: Iterable[int]) -> None:
        """Wish for a run about these assignments of a tenant; about everything due when there are none. Never fails."""
        ids = set(assignment_ids) or {0}
        with self._lock:
            self._waiting.setdefault(flow, {}).setdefault(tenant, set()).update(ids)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="asks-for-runs", daemon=True)
                self._thread.start()
        self._some.set()

    def _serve(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            for flow, tenants in waiting.items():
                self._ask_for(flow, tenants)
            time.sleep(self._slot_seconds)

    def _ask_for(self, flow: str, tenants: dict[str, set[int]]) -> None:
        parameters = parameters_of(tenants)
        slot = int(time.time() / self._slot_seconds) if self._slot_seconds else time.time_ns()
        about = "-".join(str(value) for value in parameters.values())
        try:
            self._ask(flow, parameters, f"{flow}-{about}-{slot}")
        except LabwireError as error:
            log.warning("no run of %s was asked for, its schedule takes over: %s", flow, error)


def parameters_of(tenants: dict[str, set[int]]) -> dict[str, object]:
    """What one run is told: an assignment alone where it is the only wish, a tenant alone, else all that is due."""
    if len(tenants) > 1:
        return {"tenant": ""}
    tenant, ids = next(iter(tenants.items()))
    if len(ids) == 1 and 0 not in ids:
        return {"tenant": tenant, "assignment_id": next(iter(ids))}
    return {"tenant": tenant}


@lru_cache(maxsize=1)
def _server() -> PrefectServer:
    return PrefectServer()


@lru_cache(maxsize=1)
def _wishes() -> Wishes:
    return Wishes(lambda flow, parameters, key: _server().ask_run(flow, parameters, key=key))
