"""States of an assignment, the moves between them, and why one cannot be sent. Pure."""

from enum import StrEnum

from models.kernel.errors import ConflictError


class Status(StrEnum):
    """Where an assignment stands; the letters are the documented codes."""

    PENDING = "P"
    QUEUED = "Q"
    IN_PROGRESS = "I"
    ANALYSED = "A"
    VERIFIED = "V"
    RELEASED = "R"
    UNKNOWN = "U"
    FAILED = "F"
    HELD = "H"
    CANCELLED = "C"

    @property
    def word(self) -> str:
        """The state in words, as messages and pages say it."""
        return WORDS[self]


P, Q, I, A, V, R, U, F, H, C = Status  # noqa: E741  # the documented letters, for the table below

WORDS: dict[Status, str] = {
    P: "pending",
    Q: "queued",
    I: "in progress",
    A: "analysis complete",
    V: "verified",
    R: "released",
    U: "submission unknown",
    F: "failed",
    H: "held",
    C: "cancelled",
}

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # sent; no answer seen; refused or given up; cancelled; entered by hand or pushed before it was sent
    P: frozenset({Q, U, F, C, A, H}),
    # sent again; a person or a late answer says it is queued; given up; cancelled; entered by hand or pushed
    U: frozenset({P, Q, F, C, A, H}),
    # the instrument runs it; answers; is given up; or a person orders the run again
    Q: frozenset({I, A, F, H, C, P}),
    I: frozenset({A, F, H, C, P}),
    # released or corrected by a person; fetched again; run again; given up
    H: frozenset({A, Q, P, F, C}),
    # verified; run again; corrected (a new version, still analysed)
    A: frozenset({V, P, A}),
    # released; corrected; run again
    V: frozenset({R, A, P}),
    # corrected after release: verified and released anew, the released version stays visible meanwhile
    R: frozenset({A}),
    # tried again; entered by hand; a late result is let through by a person; cancelled
    F: frozenset({P, A, C}),
    C: frozenset(),
}

OPEN = frozenset({P, Q, I, U, H})
"""Waiting for a result: what goes stale. A failed one waits for nobody but is listed beside them."""
FINISHED = frozenset({A, V, R})
"""Has a result."""

PRIORITIES: dict[str, int] = {"stat": 0, "urgent": 1, "routine": 2}
"""Priority and its place in every queue: lower goes first."""

EQUIPMENT_STATUSES = ("active", "maintenance", "inactive")
EXPIRY_HOURS = 24
"""Results stay fetchable for at least this long (instrument interface document, note 5), and no longer is promised."""
EXPIRY_WARNING_HOURS = 20
STALE_HOURS = 24
"""Open for longer: stale (instrument interface document, key metrics)."""


def move(current: str, target: str) -> Status:
    """`target`, where the table allows it; else ConflictError naming both states in words."""
    here, there = Status(current), Status(target)
    if there not in TRANSITIONS[here]:
        raise ConflictError(f"a {here.word} assignment cannot become {there.word}")
    return there


def may_move(current: str, target: str) -> bool:
    """Whether the table allows it."""
    return Status(target) in TRANSITIONS[Status(current)]


def reasons_not_to_send(status: str, equipment_status: str | None, endpoint: str | None) -> list[str]:
    """Why an assignment cannot go to its instrument, each in words; empty when it can. No instrument: None, None."""
    reasons = []
    if status != Status.PENDING:
        reasons.append(f"the assignment is {Status(status).word}, not pending")
    if equipment_status is None:
        reasons.append("no instrument is assigned")
        return reasons
    if equipment_status != "active":
        reasons.append(
            "the instrument is in maintenance" if equipment_status == "maintenance" else "the instrument is inactive"
        )
    if not endpoint:
        reasons.append("the instrument has no endpoint")
    return reasons
