"""What is not kept for ever: which rows end, how long after that they stay, and their removal in small transactions.

Whatever is not named here stays: the audit trail, orders, results, what instruments answered, undelivered messages.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.settings import Settings

BATCH = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of `table` (as x) that go once `ended` is true of them and the moment `:before`.

    `keep` names the setting with the days. `parent` is a table whose row `x.<parent>_id` points to goes with it.
    """

    table: str
    what: str
    keep: str
    ended: str
    parent: str = ""


# A mail's payload holds names and addresses, and its delivery is all there is to it; other deliveries are the record
# of what an outside system was told, and stay. An event that also goes elsewhere stays with its other delivery.
DELIVERED_MAIL = """
x.destination = 'mail' AND x.state IN ('done', 'skipped') AND COALESCE(x.answered_at, x.created_at) < :before
AND NOT EXISTS (SELECT FROM delivery o WHERE o.tenant_id = x.tenant_id AND o.event_id = x.event_id AND o.id <> x.id)
"""
RULES = (
    Rule("idempotency_key", "idempotency keys", "keep_idempotency_keys_days", "x.created_at < :before"),
    Rule("user_session", "sessions", "keep_sessions_days", "LEAST(x.ended_at, x.expires_at) < :before"),
    Rule("password_reset", "one-time links", "keep_links_days", "LEAST(x.used_at, x.expires_at) < :before"),
    Rule("delivery", "mails", "keep_mails_days", DELIVERED_MAIL, parent="event"),
    Rule("stale_notice", "stale notices", "keep_notices_days", "x.created_at < :before"),
    Rule("equipment_check", "instrument checks", "keep_checks_days", "x.checked_at < :before"),
)
PARENTS = {"event": "outbox_event"}


def keep_days(rule: Rule, config: Settings) -> int:
    """The days this rule's rows are kept after their end."""
    days: int = getattr(config, rule.keep)
    return days


def count_ended(session: Session, tenant_id: int, rule: Rule, *, before: datetime) -> int:
    """How many rows would go."""
    return session.scalar(_count(rule), {"tenant_id": tenant_id, "before": before}) or 0


def prune(session: Session, tenant_id: int, actor: Actor, rule: Rule, *, before: datetime, most: int = BATCH) -> int:
    """Remove up to `most` rows with one audit row that says how many; rows somebody else holds are left for later."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "before": before, "most": most}
    rows = session.execute(_pick(rule), values).all()
    if not rows:
        return 0
    _delete(session, tenant_id, rule.table, [row.id for row in rows])
    if rule.parent:
        _delete(session, tenant_id, PARENTS[rule.parent], [row.parent_id for row in rows])
    changes = {"what": rule.what, "number": len(rows), "before": before}
    record(session, tenant_id, actor, Action("retention.prune", rule.table, "", changes))
    return len(rows)


def _pick(rule: Rule) -> TextClause:
    columns = f"x.id, x.{rule.parent}_id AS parent_id" if rule.parent else "x.id"
    return text(_select(columns, rule) + " ORDER BY x.id LIMIT :most FOR UPDATE SKIP LOCKED")


def _count(rule: Rule) -> TextClause:
    return text(_select("count(*)", rule))


def _select(columns: str, rule: Rule) -> str:
    return f"SELECT {columns} FROM {rule.table} x WHERE x.tenant_id = :tenant_id AND {rule.ended}"  # noqa: S608 # RULES


def _delete(session: Session, tenant_id: int, table: str, ids: list[int]) -> None:
    statement = text(f"DELETE FROM {table} WHERE tenant_id = :tenant_id AND id = ANY(:ids)")  # noqa: S608 # RULES
    session.execute(statement, {"tenant_id": tenant_id, "ids": ids})
