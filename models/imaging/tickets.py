"""Signed texts in addresses: who holds one may look, until it expires. They are checked without the database first.

`<payload>.<HMAC-SHA-256>`, both base64url, under a key of its own for each purpose, derived from the installation's.
Nothing in them is secret or about a patient: ids and a time.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64Error
from dataclasses import dataclass
from typing import Any

from models.kernel.clock import utc_now
from models.kernel.settings import settings

VIEWER_PREFIX = "lwv_"
"""What a viewer's token begins with: so it is told from an API token."""
LONGEST = 400
"""Characters; ours have about 120."""
VIEWER, FILE = "viewer", "image-file"


@dataclass(frozen=True, slots=True)
class ViewerTicket:
    """What a viewer's token says."""

    tenant_id: int
    grant_id: int
    expires_at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class FileTicket:
    """What the token in an image's address says."""

    tenant_id: int
    image_id: int
    user_id: int
    expires_at: int


def viewer_token(ticket: ViewerTicket) -> str:
    """`lwv_...`."""
    return VIEWER_PREFIX + _sign(VIEWER, [ticket.tenant_id, ticket.grant_id, ticket.expires_at])


def read_viewer_token(token: str) -> ViewerTicket | None:
    """What it says where its signature is ours; whether it has expired is the caller's to ask (`has_expired`)."""
    if not token.startswith(VIEWER_PREFIX):
        return None
    numbers = _read(VIEWER, token.removeprefix(VIEWER_PREFIX), 3)
    return ViewerTicket(*numbers) if numbers is not None else None


def file_token(ticket: FileTicket) -> str:
    """The token of an image's address."""
    return _sign(FILE, [ticket.tenant_id, ticket.image_id, ticket.user_id, ticket.expires_at])


def read_file_token(token: str) -> FileTicket | None:
    """The same for the token of an image's address."""
    numbers = _read(FILE, token, 4)
    return FileTicket(*numbers) if numbers is not None else None


def has_expired(ticket: ViewerTicket | FileTicket) -> bool:
    """Whether its time is over."""
    return ticket.expires_at <= utc_now().timestamp()


def _sign(purpose: str, numbers: list[int]) -> str:
    payload = urlsafe_b64encode(json.dumps(numbers, separators=(",", ":")).encode()).rstrip(b"=")
    return f"{payload.decode()}.{_mac(purpose, payload)}"


def _read(purpose: str, token: str, count: int) -> list[int] | None:
    payload, dot, mac = token.partition(".")
    if not dot or len(token) > LONGEST or not token.isascii():
        return None
    if not hmac.compare_digest(mac.encode(), _mac(purpose, payload.encode()).encode()):
        return None
    try:
        numbers: Any = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (NotBase64Error, ValueError):  # not reached while the key is ours alone
        return None
    is_ours = isinstance(numbers, list) and len(numbers) == count and all(type(one) is int for one in numbers)
    return numbers if is_ours else None


def _mac(purpose: str, payload: bytes) -> str:
    key = hmac.new(settings().key("secret_key"), f"labwire ticket {purpose} 1".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(hmac.new(key, payload, hashlib.sha256).digest()).rstrip(b"=").decode()
