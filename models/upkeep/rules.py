"""When a delivery is tried again."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

FIRST_PAUSE = timedelta(minutes=1)
GROWTH = 3
LONGEST_PAUSE = timedelta(hours=4)
LONGEST_ASKED_PAUSE = timedelta(hours=24)
JITTER = 0.2


LONGEST_MAIL_PAUSE = timedelta(hours=1)
"""Once a mail server is back, nothing waits longer; postfix tries every 67 minutes, RFC 5321 asks for 30 or more."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """How often a delivery is tried before it is dead, and how far apart at most."""

    attempts: int
    longest_pause: timedelta = LONGEST_PAUSE


def next_attempt_at(
    now: datetime, *, attempts: int, asked_seconds: float | None = None, longest_pause: timedelta = LONGEST_PAUSE
) -> datetime:
    """When to send again after `attempts` (1 or more): 1, 3, 9, 27, 81 min, then every 4 h, a fifth more or less.

    No pause is longer than `longest_pause`, but what the receiver asked for wins, up to a day.
    """
    if asked_seconds is not None:
        return now + min(timedelta(seconds=max(asked_seconds, 0)), LONGEST_ASKED_PAUSE)
    pause = min(FIRST_PAUSE * float(GROWTH ** min(attempts - 1, 20)), longest_pause)
    return now + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads load, guards nothing
