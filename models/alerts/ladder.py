"""Who is told of an alert after how long: a tenant's ladder, and when each of its steps is due. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

ROLES = ("doctor", "nurse", "emergency")
"""Whom a step can tell, as the documented two stages name them."""
QUESTION_DAYS = 1
"""How long a link can be answered: beyond the deadline, for "I need help now" is never too late."""


@dataclass(frozen=True, slots=True)
class Step:
    """`roles` are told so many minutes after the ladder began."""

    after_minutes: int
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A tenant's rule. `critical_skips_question`: at a critical level nobody waits for the patient."""

    ladder: tuple[Step, ...]
    question_minutes: int
    critical_skips_question: bool

    def due_at(self, began: datetime, step: int) -> datetime | None:
        """When step number `step` (from 0) is due; None when there is none."""
        if step >= len(self.ladder):
            return None
        return began + timedelta(minutes=self.ladder[step].after_minutes)

    @property
    def everybody(self) -> tuple[str, ...]:
        """Every role of the ladder, and emergency whether or not it has it."""
        named = {role for step in self.ladder for role in step.roles} | {"emergency"}
        return tuple(role for role in ROLES if role in named)


USUAL = Policy(
    (Step(0, ("doctor", "nurse")), Step(10, ("emergency",))), question_minutes=5, critical_skips_question=False
)
"""For a tenant that set none: as documented the patient is asked first, whatever the level."""
