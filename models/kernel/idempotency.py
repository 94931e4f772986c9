"""Idempotency keys of requests that make something: the same request again is answered, not done again."""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.kernel.db import Base, TenantRow
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.tables import NOW

LONGEST_KEY = 200


class IdempotencyKey(TenantRow, Base):
    """A key somebody (`scope`) gave a request, what the request contained, and what was answered."""

    __tablename__ = "idempotency_key"
    __table_args__ = (UniqueConstraint("tenant_id", "scope", "key"),)

    scope: Mapped[str]
    key: Mapped[str]
    content_sha256: Mapped[bytes]
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


def content_hash(content: object) -> bytes:
    """SHA-256 of a request's content as canonical JSON: the order of names and white space do not count."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()).digest()


def once(
    session: Session, tenant_id: int, *, scope: str, key: str, content: object, do: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """`do()` and its answer, or the answer of the first time; ConflictError where the key came with other content.

    A second request with the same key waits for the first one's transaction to end: the unique key makes it wait.
    A key is known for LABWIRE_KEEP_IDEMPOTENCY_KEYS_DAYS; then `clean-up` forgets it.
    """
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise InvalidError(f"the key must be 1 to {LONGEST_KEY} printable characters", field="Idempotency-Key")
    table, digest = IdempotencyKey, content_hash(content)
    values = {"tenant_id": tenant_id, "scope": scope, "key": key, "content_sha256": digest}
    reserve = insert(table).values(values).on_conflict_do_nothing().returning(table.id)
    wanted = select(table).where(table.tenant_id == tenant_id, table.scope == scope, table.key == key)
    while (made := session.scalar(reserve)) is None:
        earlier = session.execute(wanted).scalar_one_or_none()
        if earlier is None:  # cleaned up between the two statements: the key is new again
            continue
        if earlier.content_sha256 != digest:
            raise ConflictError("this Idempotency-Key was used with other content", field="Idempotency-Key")
        return earlier.answer or {}
    answer = do()
    session.execute(update(table).where(table.tenant_id == tenant_id, table.id == made).values(answer=answer))
    return answer
