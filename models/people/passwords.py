"""Passwords: argon2id (RFC 9106, low-memory profile: 64 MiB, 3 passes, 4 lanes), never more than a few at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.kernel.errors import RateLimitedError

AT_ONCE = 4
WAITING = 16
_running = BoundedSemaphore(AT_ONCE)
_queued = BoundedSemaphore(AT_ONCE + WAITING)
_hasher = PasswordHasher()


def hash_password(password: str) -> str:
    """The encoded argon2id hash."""
    with _slot():
        return _hasher.hash(password)


def is_password(password: str, encoded: str | None) -> bool:
    """Whether the password fits; with no hash to compare it takes as long, and is False."""
    with _slot():
        try:
            _hasher.verify(encoded or _nobodys_hash(), password)
        except (VerificationError, InvalidHashError):
            return False
    return encoded is not None


def is_outdated(encoded: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(encoded)


@contextmanager
def _slot() -> Iterator[None]:
    """A place among the few hashes computed at once: each takes 64 MiB, and a flood of sign-ins must not take all."""
    if not _queued.acquire(blocking=False):
        raise RateLimitedError("too many people are signing in at once", retry_after_seconds=2)
    try:
        with _running:
            yield
    finally:
        _queued.release()


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return _hasher.hash("the password of nobody")
