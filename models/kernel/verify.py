"""Verifying the audit trail: rows against their MACs, seals against their chain, the chain against the heads outside.

Streams: memory does not grow with the trail. Neighbours with the same fault are one finding.
"""

import hmac
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, text

from models.kernel.audit import FIELDS, mac_of
from models.kernel.clock import utc_now
from models.kernel.db import engine
from models.kernel.heads import Head, heads_size, read_heads
from models.kernel.seal import BEGINNING, link
from models.kernel.settings import settings

ROWS_AT_ONCE = 2000
MOST_IDS = 1000
HEAD_MAY_LAG = timedelta(minutes=10)
"""A head is written by the run that seals; where that was killed, by the next one, a minute later."""

# A row edited to a time or a number that Python cannot hold must be named, not end the verifying of all the others.
READABLE_TIME = "CASE WHEN {0} BETWEEN '0002-01-01' AND '9998-12-31' THEN {0} END"
AS_TEXT = {
    "changes": "e.changes::text AS changes",
    "occurred_at": f"{READABLE_TIME.format('e.occurred_at')} AS occurred_at",
}
COLUMNS = ", ".join(AS_TEXT.get(name, f"e.{name}") for name in FIELDS)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Finding:
    """A fault of `count` rows: those at the positions from `first` to `last` where they are sealed, and their ids.

    Faults: edited, deleted, reordered (a genuine row in another's place), seal (it does not fit the chain), cut (the
    end is missing), head (the file outside the database). No more than 1,000 ids are kept for one finding.
    """

    fault: str
    text: str
    first: int | None = None
    last: int | None = None
    ids: list[int] = field(default_factory=list)
    count: int = 1

    def absorbs(self, other: "Finding") -> bool:
        """Take `other` in when it is the same fault of the next row."""
        is_next = self.last is other.first is None or (self.last is not None and other.first == self.last + 1)
        if (self.fault, self.text) != (other.fault, other.text) or not is_next:
            return False
        self.last = other.last
        self.count += other.count
        self.ids += other.ids[: MOST_IDS - len(self.ids)]
        return True


@dataclass(slots=True)
class Verdict:
    """What verifying one tenant's trail came to."""

    tenant_id: int
    sealed: int = 0
    unsealed: int = 0
    heads: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(self, finding: Finding) -> None:
        """Keep a finding, joined to the last one of its fault where it goes on from it."""
        for kept in reversed(self.findings[-4:]):
            if kept.absorbs(finding):
                return
        self.findings.append(finding)


def verify_tenant(tenant_id: int) -> Verdict:
    """Check every audit row of a tenant, sealed or not, in one snapshot of the database."""
    size = heads_size(tenant_id)  # before the snapshot: a head never says more than the database did then
    verdict = Verdict(tenant_id)
    with _snapshot(tenant_id) as connection:
        chain = _ChainCheck(verdict, read_heads(tenant_id, size=size) if size is not None else iter(()))
        for row in _stream(connection, SEALED, tenant_id):
            chain.check(row)
        chain.finish(has_file=size is not None)
        key = settings().key("audit_key")
        for row in _stream(connection, UNSEALED, tenant_id):
            verdict.unsealed += 1
            if not _is_genuine(row, key):
                verdict.add(Finding("edited", "the row was changed before it was sealed", ids=[row.id]))
    return verdict


SEALED = text(f"""
SELECT s.position, s.audit_id, s.transaction_id AS sealed_transaction_id, s.audit_mac, s.chain,
       {READABLE_TIME.format("s.sealed_at")} AS sealed_at,
       e.id, e.transaction_id, e.mac, {COLUMNS}
FROM audit_seal s LEFT JOIN audit_event e ON e.tenant_id = s.tenant_id AND e.id = s.audit_id
WHERE s.tenant_id = :wanted ORDER BY s.position
""")  # noqa: S608  # constant names
UNSEALED = text(f"""
SELECT e.id, e.mac, {COLUMNS} FROM audit_event e
WHERE e.tenant_id = :wanted
  AND (SELECT s.position FROM audit_seal s WHERE s.tenant_id = e.tenant_id AND s.audit_id = e.id) IS NULL
ORDER BY e.id
""")  # noqa: S608  # constant names


class _ChainCheck:
    """Walks a tenant's seals in the order of their positions, and the heads beside them."""

    def __init__(self, verdict: Verdict, heads: Iterator[Head]) -> None:
        self._verdict = verdict
        self._heads = heads
        self._key = settings().key("audit_key")
        self._position = 0
        self._chain: bytes | None = BEGINNING
        self._first_without_head: datetime | None = None
        self._head = self._next_head()

    def check(self, row: Row[Any]) -> None:
        """Check one seal and the audit row it is for."""
        self._verdict.sealed += 1
        if row.position != self._position + 1:
            missing = row.position - self._position - 1
            self._found("deleted", "audit row and seal are missing", self._position + 1, row.position - 1, missing)
            self._chain = None  # what the next link is linked to is not known
        numbers = (self._verdict.tenant_id, row.audit_id, row.sealed_transaction_id)
        chain, mac = bytes(row.chain), bytes(row.audit_mac)
        if self._chain is not None and not hmac.compare_digest(
            link(self._key, self._chain, row.position, numbers, mac), chain
        ):
            self._found_in(row, "seal", "the seal does not fit its chain")
        self._check_content(row, mac)
        self._position, self._chain = row.position, chain
        self._compare_heads(row)

    def finish(self, *, has_file: bool) -> None:
        """After the last seal: heads that are left tell what was cut off."""
        while self._head is not None:
            if self._head.position > self._position:
                cut = self._head.position - self._position
                self._found("cut", "the end of the trail is missing", self._position + 1, self._head.position, cut)
                self._position = self._head.position
            self._head = self._next_head()
        since = self._first_without_head
        if since is not None and utc_now() - since > HEAD_MAY_LAG:
            what = "the head file ends before the trail" if has_file else "the head file is missing"
            self._verdict.add(Finding("head", what))

    def _check_content(self, row: Row[Any], sealed_mac: bytes) -> None:
        if row.id is None:
            self._found_in(row, "deleted", "the audit row is missing")
        elif not _is_genuine(row, self._key) or row.transaction_id != row.sealed_transaction_id:
            self._found_in(row, "edited", "the audit row was changed")
        elif bytes(row.mac) != sealed_mac:
            self._found_in(row, "reordered", "a genuine audit row stands in another's place")

    def _compare_heads(self, row: Row[Any]) -> None:
        if self._head is None and self._first_without_head is None:
            # Nothing authenticates this time: one that was changed to hide that the head is missing counts as long ago.
            is_believed = row.sealed_at is not None and row.sealed_at <= utc_now() + HEAD_MAY_LAG
            self._first_without_head = row.sealed_at if is_believed else LONG_AGO
        while self._head is not None and self._head.position <= row.position:
            if self._head.position == row.position and self._head.chain != self._chain:
                self._found_in(row, "seal", "the head file says the chain was another")
            self._head = self._next_head()

    def _next_head(self) -> Head | None:
        for head in self._heads:
            self._verdict.heads += 1
            if head.is_genuine:
                return head
            self._verdict.add(Finding("head", f"line {head.number} of the head file is not genuine"))
        return None

    def _found_in(self, row: Row[Any], fault: str, what: str) -> None:
        self._verdict.add(Finding(fault, what, row.position, row.position, [row.audit_id]))

    def _found(self, fault: str, what: str, first: int, last: int, count: int) -> None:
        self._verdict.add(Finding(fault, what, first, last, count=count))


def is_row_genuine(row: object) -> bool:
    """Whether the MAC of an audit row of the table fits its content."""
    return _fits(row, [getattr(row, name) for name in FIELDS], settings().key("audit_key"))


def _is_genuine(row: Any, key: bytes) -> bool:
    """The same of a row read by the statements above, in which the changes are text."""
    try:
        values = [json.loads(row.changes) if name == "changes" else getattr(row, name) for name in FIELDS]
    except (ValueError, RecursionError):  # a number or a depth that was never written by us
        return False
    return _fits(row, values, key)


def _fits(row: Any, values: Sequence[Any], key: bytes) -> bool:
    try:
        return hmac.compare_digest(mac_of(values, key), bytes(row.mac))
    except (TypeError, ValueError, RecursionError):  # never written by us, such as a number with a fraction
        return False


@contextmanager
def _snapshot(tenant_id: int) -> Iterator[Connection]:
    with engine().connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            switch = text("SELECT set_config('labwire.tenant_id', :tenant_id, true)")
            connection.execute(switch, {"tenant_id": str(tenant_id)})
            # Without statistics a nested loop looks cheap, and takes quadratic time.
            connection.execute(text("SET LOCAL enable_nestloop = off"))
            yield connection


def _stream(connection: Connection, statement: Any, tenant_id: int) -> Iterator[Row[Any]]:
    options = {"stream_results": True, "yield_per": ROWS_AT_ONCE}
    yield from connection.execute(statement, {"wanted": tenant_id}, execution_options=options)
