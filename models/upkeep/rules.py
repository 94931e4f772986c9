"""When a delivery is tried again."""

import random
from datetime import datetime, timedelta

FIRST_PAUSE = timedelta(minutes=1)
GROWTH = 3
LONGEST_PAUSE = timedelta(hours=4)
LONGEST_ASKED_PAUSE = timedelta(hours=24)
JITTER = 0.2


def next_attempt_at(now: datetime, *, attempts: int, asked_seconds: float | None = None) -> datetime:
    """When to send again after `attempts` (1 or more): 1, 3, 9, 27, 81 min, then every 4 h, a fifth more or less.

    What the receiver asked for wins, up to a day.
    """
    if asked_seconds is not None:
        return now + min(timedelta(seconds=max(asked_seconds, 0)), LONGEST_ASKED_PAUSE)
    pause = min(FIRST_PAUSE * float(GROWTH ** min(attempts - 1, 20)), LONGEST_PAUSE)
    return now + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # spreads load, guards nothing
