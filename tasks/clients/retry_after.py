"""The Retry-After header (RFC 9110, section 10.2.3)."""

import math
from email.utils import parsedate_to_datetime

from models.kernel.clock import utc_now

LONGEST_SECONDS = 24 * 3600.0  # nobody is left alone for longer on an outside system's word


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or a date; none when missing or not readable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            return None
        seconds = (moment - utc_now()).total_seconds()
    if math.isnan(seconds):
        return None
    return min(max(seconds, 0.0), LONGEST_SECONDS)
