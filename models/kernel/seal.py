"""Sealing the audit trail: settled rows get gap-free positions and links of a chain that nothing can be taken out of.

A row is settled once every transaction that began before it has ended (`pg_snapshot_xmin`), so no row can turn up later
behind one that is sealed. Rows are sealed in the order of (transaction, id), and sealing goes on behind the last.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session

NewSeal = tuple[int, int, int, bytes, bytes]

CHUNK = 10_000
BEGINNING = bytes(32)
"""What the first link of a chain is linked to."""


@dataclass(frozen=True, slots=True)
class Link:
    """The last sealed position of a tenant."""

    position: int
    audit_id: int
    transaction_id: int
    chain: bytes


def link(key: bytes, previous: bytes, position: int, row: Sequence[int], audit_mac: bytes) -> bytes:
    """One link of the chain: HMAC-SHA-256 over the one before, position, `row` (tenant, id, transaction) and MAC."""
    numbers = b"".join(number.to_bytes(8, "big", signed=True) for number in (position, *row))
    return hmac.new(key, previous + numbers + audit_mac, hashlib.sha256).digest()


def last_link(session: Session, tenant_id: int) -> Link:
    """Where the tenant's chain ends; position 0 when nothing is sealed yet."""
    row = session.execute(LAST, {"tenant_id": tenant_id}).first()
    if row is None:
        return Link(0, 0, 0, BEGINNING)
    return Link(row.position, row.audit_id, row.transaction_id, bytes(row.chain))


def seal_tenant(tenant_id: int, *, most: int = CHUNK) -> int:
    """Seal up to `most` settled rows in a transaction of their own; how many, 0 also while another run seals them."""
    key = settings().key("audit_key")
    with tenant_session(tenant_id) as session:
        if not session.scalar(LOCK, {"tenant_id": tenant_id}):
            return 0
        last = last_link(session, tenant_id)
        rows = _settled_rows(session, tenant_id, last, most)
        if rows:
            _append(session, tenant_id, _links(key, tenant_id, last, rows))
        return len(rows)


LAST = text("""
SELECT position, audit_id, transaction_id, chain FROM audit_seal
WHERE tenant_id = :tenant_id ORDER BY position DESC LIMIT 1
""")
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('audit_seal', :tenant_id))")

# "Not sealed" is asked row by row on purpose: as an anti-join it takes quadratic time while statistics are missing.
HORIZON = text("""
SELECT pg_snapshot_xmin(now)::text::bigint AS oldest_running, pg_snapshot_xmax(now)::text::bigint AS not_begun,
       COALESCE((
           SELECT e.transaction_id FROM audit_event e WHERE e.tenant_id = :tenant_id
             AND (SELECT s.position FROM audit_seal s WHERE s.tenant_id = e.tenant_id AND s.audit_id = e.id) IS NULL
             AND e.id = (SELECT f.id FROM audit_event f WHERE f.tenant_id = :tenant_id
                         ORDER BY f.transaction_id DESC, f.id DESC LIMIT 1)
       ), 0) AS greatest_unsealed
FROM pg_current_snapshot() AS now
""")
BEHIND_THE_LAST = text("""
SELECT e.id, e.transaction_id, e.mac FROM audit_event e
WHERE e.tenant_id = :tenant_id AND (e.transaction_id, e.id) > (:transaction_id, :audit_id)
  AND e.transaction_id < :oldest_running
  AND (SELECT s.position FROM audit_seal s WHERE s.tenant_id = e.tenant_id AND s.audit_id = e.id) IS NULL
ORDER BY e.transaction_id, e.id LIMIT :most
""")
# After a restore from a dump, transactions are numbered anew, below those of the rows sealed before. Every row is then
# looked at: first those with numbers not given out here yet, which can only be old; then those with numbers still
# running, which may be either; last the settled ones, behind which sealing goes on as usual. Without a settled one
# those in the middle wait, for sealing must not go on behind them.
AFTER_A_RESTORE = text("""
WITH unsealed AS (
    SELECT e.id, e.transaction_id, e.mac FROM audit_event e
    WHERE e.tenant_id = :tenant_id
      AND (SELECT s.position FROM audit_seal s WHERE s.tenant_id = e.tenant_id AND s.audit_id = e.id) IS NULL
)
SELECT id, transaction_id, mac FROM unsealed
WHERE transaction_id < :oldest_running OR transaction_id >= :not_begun
   OR EXISTS (SELECT FROM unsealed WHERE transaction_id < :oldest_running)
ORDER BY (transaction_id < :not_begun)::int + (transaction_id < :oldest_running)::int, transaction_id, id
""")


def _settled_rows(session: Session, tenant_id: int, last: Link, most: int) -> Sequence[Row[Any]]:
    horizon = session.execute(HORIZON, {"tenant_id": tenant_id}).one()
    values = {"tenant_id": tenant_id, "oldest_running": horizon.oldest_running}
    if max(last.transaction_id, horizon.greatest_unsealed) < horizon.not_begun:
        behind = {"transaction_id": last.transaction_id, "audit_id": last.audit_id, "most": most}
        return session.execute(BEHIND_THE_LAST, values | behind).all()
    return session.execute(AFTER_A_RESTORE, values | {"not_begun": horizon.not_begun}).all()


def _links(key: bytes, tenant_id: int, last: Link, rows: Sequence[Row[Any]]) -> list[NewSeal]:
    made: list[NewSeal] = []
    chain = last.chain
    for position, row in enumerate(rows, last.position + 1):
        mac = bytes(row.mac)
        chain = link(key, chain, position, (tenant_id, row.id, row.transaction_id), mac)
        made.append((position, row.id, row.transaction_id, mac, chain))
    return made


APPEND = text("""
INSERT INTO audit_seal (tenant_id, position, audit_id, transaction_id, audit_mac, chain)
SELECT :tenant_id, position, audit_id, transaction_id, decode(mac, 'hex'), decode(chain, 'hex')
FROM unnest(CAST(:positions AS bigint[]), CAST(:ids AS bigint[]), CAST(:transactions AS bigint[]),
            CAST(:macs AS text[]), CAST(:chains AS text[])) AS n(position, audit_id, transaction_id, mac, chain)
""")


def _append(session: Session, tenant_id: int, made: list[NewSeal]) -> None:
    positions, ids, transactions, macs, chains = (list(column) for column in zip(*made, strict=True))
    values = {"positions": positions, "ids": ids, "transactions": transactions}
    texts = {"macs": [mac.hex() for mac in macs], "chains": [chain.hex() for chain in chains]}
    session.execute(APPEND, {"tenant_id": tenant_id, **values, **texts})
