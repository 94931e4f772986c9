"""What can be done with an assignment now, by this caller, and of everything else why not. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.instruments.rules import FINISHED, Status, may_move, reasons_not_to_send
from models.instruments.stores.details import ResultRow
from models.instruments.stores.entry import ENTERABLE
from models.instruments.stores.worklist import WorklistRow
from models.people.roles import ROLES
from models.people.rules import rights_of

LABELS = {
    "send": "Send to the instrument",
    "fetch": "Fetch the result",
    "enter": "Enter a result",
    "verify": "Verify",
    "release": "Release",
    "resolve": "Say what became of it",
    "held": "Decide about the held result",
    "instrument": "Choose another instrument",
    "retest": "Run again",
    "correct": "Correct the result",
    "cancel": "Cancel",
}
NEEDED = {
    "verify": ("verifier",),
    "release": ("verifier",),
    "held": ("supervisor",),
    "correct": ("supervisor",),
    "retest": ("technician", "verifier"),
}
"""Roles that may; a technician where nothing is said."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that could be done. `problem` is why it cannot; empty when it can."""

    name: str
    problem: str = ""

    @property
    def label(self) -> str:
        """What its button says."""
        return LABELS[self.name]


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides: the assignment, its result that counts now, and who is asking."""

    row: WorklistRow
    result: ResultRow | None
    user_id: int
    roles: Collection[str]
    open_held: Sequence[int] = ()


def deeds_for(now: Situation) -> list[Deed]:
    """Every deed in the order of the work, with its problem where it has one."""
    found = [Deed(name, problem_of(name, now)) for name in LABELS]
    return [deed for deed in found if deed.name not in ("resolve", "held") or not deed.problem or _concerns(deed, now)]


def possible(deeds: Sequence[Deed]) -> dict[str, Deed]:
    """Those that can be done, by name."""
    return {deed.name: deed for deed in deeds if not deed.problem}


def _concerns(deed: Deed, now: Situation) -> bool:
    """Whether a deed for one special state is about this assignment at all."""
    return now.row.status == (Status.UNKNOWN if deed.name == "resolve" else Status.HELD)


def problem_of(name: str, now: Situation) -> str:
    """Why this caller cannot do it now; empty when they can."""
    needed = NEEDED.get(name, ("technician",))
    by_state = _state_problem(name, now)
    if by_state:
        return by_state
    if rights_of(now.roles).isdisjoint(needed):
        return f"needs the role {' or '.join(ROLES[one].lower() for one in needed)}"
    return _personal_problem(now) if name == "verify" else ""


def _state_problem(name: str, now: Situation) -> str:
    status, word = Status(now.row.status), Status(now.row.status).word
    if name == "send":
        endpoint = "there is one" if now.row.has_endpoint else None
        return "; ".join(reasons_not_to_send(status, now.row.equipment_status, endpoint))
    possible_now = {
        "fetch": status in (Status.QUEUED, Status.IN_PROGRESS),
        "enter": status in ENTERABLE,
        "verify": status == Status.ANALYSED and now.result is not None,
        "release": status == Status.VERIFIED,
        "resolve": status == Status.UNKNOWN,
        "held": bool(now.open_held),
        "instrument": status in (Status.PENDING, Status.FAILED),
        "retest": may_move(status, Status.PENDING) and status != Status.UNKNOWN,
        "correct": status in FINISHED and now.result is not None,
        "cancel": may_move(status, Status.CANCELLED),
    }[name]
    return "" if possible_now else f"the assignment is {word}"


def _personal_problem(now: Situation) -> str:
    if now.result is None:
        return "there is no result"
    if now.result.entered_by == now.user_id:
        return "you entered the value; another person verifies it"
    if any(one.user_id == now.user_id for one in now.result.verifications):
        return "you verified it already; the next level needs another person"
    return ""
