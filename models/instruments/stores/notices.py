"""What departments are told by mail: assignments open for long, and results that were never answered in time."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from models.instruments.rules import EXPIRY_HOURS, OPEN, STALE_HOURS, Status
from models.instruments.tables import StaleNotice
from models.kernel.audit import Action, Actor, record_many
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish
from models.kernel.settings import settings

MOST_LISTED = 50
AT_ONCE = timedelta(0)
TOLD_OF = sorted(status.value for status in OPEN | {Status.FAILED})


@dataclass(frozen=True, slots=True)
class Overdue:
    """An assignment that waits for too long, as its notice names it: no patient, no value."""

    assignment_id: int
    request_id: str
    test: str
    status: str
    hours: int


@dataclass(frozen=True, slots=True)
class Notice:
    """One department's overdue assignments; without addresses nobody can be told by mail."""

    department_id: int | None
    department: str
    to: tuple[str, ...]
    overdue: tuple[Overdue, ...]


COLUMNS = """
SELECT a.id, a.request_id, t.name AS test, a.status, d.id AS department_id, COALESCE(d.name, '') AS department, d.email,
       CAST(floor(extract(epoch FROM :now - {since}) / 3600) AS bigint) AS hours
FROM assignment a
JOIN test_definition t ON t.tenant_id = a.tenant_id AND t.id = a.test_id
LEFT JOIN equipment e ON e.tenant_id = a.tenant_id AND e.id = a.equipment_id
LEFT JOIN department d
       ON d.tenant_id = a.tenant_id AND d.id = COALESCE(a.department_id, e.department_id, t.department_id)
"""
STALE = text(
    COLUMNS.format(since="a.ordered_at")
    + """
WHERE a.tenant_id = :tenant_id AND a.status = ANY(:states) AND a.ordered_at < :before
  AND a.stale_acknowledged_at IS NULL
ORDER BY a.ordered_at, a.id
"""
)
EXPIRED = text(
    COLUMNS.format(since="a.queued_at")
    + """
WHERE a.tenant_id = :tenant_id AND a.status IN ('Q', 'I') AND a.queued_at < :before AND a.expiry_reported_at IS NULL
ORDER BY a.queued_at, a.id FOR UPDATE OF a
"""
)
IS_EXPIRED = text("""
SELECT EXISTS (SELECT FROM assignment WHERE tenant_id = :tenant_id AND status IN ('Q', 'I') AND queued_at < :before
               AND expiry_reported_at IS NULL)
""")
REPORTED = text("UPDATE assignment SET expiry_reported_at = :now WHERE tenant_id = :tenant_id AND id = ANY(:ids)")
SUPERVISORS = text("""
SELECT email FROM app_user WHERE tenant_id = :tenant_id AND is_active AND 'supervisor' = ANY(roles) ORDER BY email
""")


def report_stale(session: Session, tenant_id: int, *, day: date, now: datetime) -> list[Notice]:
    """Mail each department, once a day, what is open for more than 24 h and not acknowledged; the day's new notices.

    A failed assignment is told of too: it waits for somebody to try it again or to give it up. A department without
    an address is told through the tenant's supervisors.
    """
    values = {"states": TOLD_OF, "before": now - timedelta(hours=STALE_HOURS)}
    new = []
    for notice in _notices(session, tenant_id, STALE, values, now=now):
        row = {
            "tenant_id": tenant_id,
            "department_id": notice.department_id,
            "day": day,
            "assignment_count": len(notice.overdue),
        }
        told = insert(StaleNotice).values(row).on_conflict_do_nothing().returning(StaleNotice.id)
        if session.scalar(told) is not None:
            new.append(notice)
            _mail(session, tenant_id, notice, "stale_assignments", "assignments.stale")
    return new


def report_expired(
    session: Session, tenant_id: int, actor: Actor, *, now: datetime, gather: timedelta = AT_ONCE
) -> list[Notice]:
    """Tell, once each, of results that were never answered within the 24 h they are kept for: audit row and mail.

    Nobody is told before one of them has waited for `gather` since its end; then all are told of by the same mail.
    """
    values = {"before": now - timedelta(hours=EXPIRY_HOURS)}
    waiting = {"tenant_id": tenant_id, "before": now - timedelta(hours=EXPIRY_HOURS) - gather}
    if not session.scalar(IS_EXPIRED, waiting):
        return []
    notices = _notices(session, tenant_id, EXPIRED, values, now=now)
    ids = [one.assignment_id for notice in notices for one in notice.overdue]
    if ids:
        session.execute(REPORTED, {"tenant_id": tenant_id, "ids": ids, "now": now})
        actions = [Action("assignment.expire", "assignment", one, {"hours": EXPIRY_HOURS}) for one in ids]
        record_many(session, tenant_id, actor, actions)
    for notice in notices:
        _mail(session, tenant_id, notice, "results_expired", "results.expired")
    return notices


def _notices(
    session: Session, tenant_id: int, statement: Any, values: dict[str, Any], *, now: datetime
) -> list[Notice]:
    by_department: dict[int | None, list[Any]] = defaultdict(list)
    for row in session.execute(statement, {"tenant_id": tenant_id, "now": now} | values):
        by_department[row.department_id].append(row)
    return [
        Notice(
            department_id=department_id,
            department=rows[0].department,
            to=(rows[0].email,) if rows[0].email else _supervisors(session, tenant_id),
            overdue=tuple(
                Overdue(row.id, row.request_id, row.test, Status(row.status).word, row.hours) for row in rows
            ),
        )
        for department_id, rows in by_department.items()
    ]


def _supervisors(session: Session, tenant_id: int) -> tuple[str, ...]:
    return tuple(session.scalars(SUPERVISORS, {"tenant_id": tenant_id}))


def _mail(session: Session, tenant_id: int, notice: Notice, template: str, event: str) -> None:
    if not notice.to:
        return
    context = {
        "department": notice.department,
        "count": len(notice.overdue),
        "link": f"{settings().base_url}/worklist",
        "assignments": [_listed(one) for one in notice.overdue[:MOST_LISTED]],
    }
    entity = f"department:{notice.department_id or 0}"
    publish(session, tenant_id, mail_event(tenant_id, event, entity, Mail(template, notice.to, context)))


def _listed(one: Overdue) -> dict[str, str | int]:
    return {"request_id": one.request_id, "test": one.test, "status": one.status, "hours": one.hours}
