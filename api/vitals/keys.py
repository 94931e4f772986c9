"""Whose a key is, remembered for a while. Whether it still opens the door the database says each time."""

import time
from collections import OrderedDict

from prometheus_client import Counter

from models.kernel.secrets import token_hash
from models.kernel.tenancy import registry_session
from models.vitals.stores.keys import KnownKey, find_key

REMEMBERED_SECONDS = 10
"""So long may a changed time zone of a device, or a key made a moment ago and asked for before, stay unnoticed."""
UNKNOWN_SECONDS = 1
MOST = 20_000

UNKNOWN_KEYS = Counter("labwire_unknown_device_keys_total", "Requests at the devices' door with a key nobody has")

_known: OrderedDict[str, tuple[float, KnownKey | None]] = OrderedDict()


def remembered(key: str) -> tuple[bool, KnownKey | None]:
    """Whether the answer is remembered, and the answer."""
    found = _known.get(key)
    if found is None or found[0] < time.monotonic():
        return False, None
    return True, found[1]


def look_up(key: str) -> KnownKey | None:
    """Ask the database, and remember."""
    with registry_session() as session:
        known = find_key(session, token_hash(key))
    _known[key] = (time.monotonic() + (UNKNOWN_SECONDS if known is None else REMEMBERED_SECONDS), known)
    while len(_known) > MOST:
        _known.popitem(last=False)
    return known


def forget() -> None:
    """As after a restart."""
    _known.clear()
