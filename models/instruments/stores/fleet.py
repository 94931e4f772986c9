"""Instruments as the pages show them: uptime, queue, turnaround, and what went wrong. Reads alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.instruments.rules import STALE_HOURS
from models.kernel.clock import utc_now
from models.kernel.errors import NotFoundError

TURNAROUND_DAYS = 7
"""Days over which the average from queued to analysed is taken."""


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One instrument and its figures. Uptime is the share of status checks it answered as online, None without any."""

    id: int
    name: str
    model: str
    serial_number: str | None
    department: str | None
    status: str
    api_endpoint: str | None
    is_idempotent: bool
    supports_auto_fetch: bool
    calibration_date: date | None
    checked_at: datetime | None
    is_online: bool | None
    queue_length: int | None
    last_calibration_at: datetime | None
    checks_day: int
    online_day: int
    checks_week: int
    online_week: int
    turnaround_seconds: Decimal | None
    measured_count: int
    waiting_count: int
    queued_count: int
    failed_count: int
    unknown_count: int
    stale_count: int

    @property
    def uptime_day(self) -> Decimal | None:
        """Percent of the checks of the last 24 hours."""
        return _percent(self.online_day, self.checks_day)

    @property
    def uptime_week(self) -> Decimal | None:
        """Percent of the checks of the last 7 days."""
        return _percent(self.online_week, self.checks_week)


@dataclass(frozen=True, slots=True)
class CheckSlot:
    """The status checks of one stretch of time."""

    starts_at: datetime
    checks: int
    online: int


FLEET = text("""
SELECT e.id, e.name, e.model, e.serial_number, d.name AS department, e.status, e.api_endpoint, e.is_idempotent,
       e.supports_auto_fetch, e.calibration_date, e.checked_at, e.is_online, e.queue_length, e.last_calibration_at,
       COALESCE(c.checks_day, 0), COALESCE(c.online_day, 0), COALESCE(c.checks_week, 0), COALESCE(c.online_week, 0),
       t.seconds, COALESCE(t.measured, 0), COALESCE(w.waiting, 0), COALESCE(w.queued, 0), COALESCE(w.failed, 0),
       COALESCE(w.unsure, 0), COALESCE(w.stale, 0)
FROM equipment e
LEFT JOIN department d ON d.tenant_id = e.tenant_id AND d.id = e.department_id
LEFT JOIN LATERAL (
    SELECT count(*) AS checks_week, count(*) FILTER (WHERE k.is_online) AS online_week,
           count(*) FILTER (WHERE k.checked_at > :day) AS checks_day,
           count(*) FILTER (WHERE k.checked_at > :day AND k.is_online) AS online_day
    FROM equipment_check k
    WHERE k.tenant_id = e.tenant_id AND k.equipment_id = e.id AND k.checked_at > :week
) c ON true
LEFT JOIN (
    SELECT a.equipment_id, avg(EXTRACT(epoch FROM a.analyzed_at - a.queued_at)) AS seconds, count(*) AS measured
    FROM assignment a
    WHERE a.tenant_id = :tenant_id AND a.analyzed_at > :turnaround AND a.queued_at IS NOT NULL
      AND a.analyzed_at >= a.queued_at AND (CAST(:id AS bigint) IS NULL OR a.equipment_id = :id)
    GROUP BY a.equipment_id
) t ON t.equipment_id = e.id
LEFT JOIN (
    SELECT a.equipment_id, count(*) FILTER (WHERE a.status = 'P') AS waiting,
           count(*) FILTER (WHERE a.status IN ('Q', 'I')) AS queued,
           count(*) FILTER (WHERE a.status = 'F') AS failed,
           count(*) FILTER (WHERE a.status = 'U') AS unsure,
           count(*) FILTER (WHERE a.status IN ('P', 'Q', 'I', 'U', 'H') AND a.ordered_at < :stale) AS stale
    FROM assignment a
    WHERE a.tenant_id = :tenant_id AND a.status IN ('P', 'Q', 'I', 'U', 'H', 'F')
      AND (CAST(:id AS bigint) IS NULL OR a.equipment_id = :id)
    GROUP BY a.equipment_id
) w ON w.equipment_id = e.id
WHERE e.tenant_id = :tenant_id AND (CAST(:id AS bigint) IS NULL OR e.id = :id)
ORDER BY e.status = 'inactive', lower(e.name), e.id
""")

SLOTS = text("""
SELECT s.starts_at, count(k.id), count(k.id) FILTER (WHERE k.is_online)
FROM generate_series(CAST(:since AS timestamptz), CAST(:until AS timestamptz), make_interval(secs => :seconds))
     AS s(starts_at)
LEFT JOIN equipment_check k ON k.tenant_id = :tenant_id AND k.equipment_id = :id
     AND k.checked_at >= s.starts_at AND k.checked_at < s.starts_at + make_interval(secs => :seconds)
GROUP BY s.starts_at ORDER BY s.starts_at
""")


def list_fleet(session: Session, tenant_id: int, *, equipment_id: int | None = None) -> list[FleetRow]:
    """Every instrument of the tenant, or the one asked for, with its figures; inactive ones last."""
    now = utc_now()
    values = {
        "tenant_id": tenant_id,
        "id": equipment_id,
        "day": now - timedelta(days=1),
        "week": now - timedelta(days=7),
        "turnaround": now - timedelta(days=TURNAROUND_DAYS),
        "stale": now - timedelta(hours=STALE_HOURS),
    }
    return [FleetRow(*row) for row in session.execute(FLEET, values)]


def get_fleet_row(session: Session, tenant_id: int, equipment_id: int) -> FleetRow:
    """One instrument with its figures; NotFoundError when the tenant has no such one."""
    rows = list_fleet(session, tenant_id, equipment_id=equipment_id)
    if not rows:
        raise NotFoundError(f"no equipment {equipment_id}", resource="equipment", resource_id=equipment_id)
    return rows[0]


def check_slots(
    session: Session, tenant_id: int, equipment_id: int, *, hours: int = 48, minutes: int = 30
) -> Sequence[CheckSlot]:
    """The last `hours` in stretches of `minutes`, oldest first, those without any check included."""
    step = timedelta(minutes=minutes)
    now = utc_now()
    until = now - timedelta(seconds=now.timestamp() % step.total_seconds())
    values = {
        "tenant_id": tenant_id,
        "id": equipment_id,
        "since": until - timedelta(hours=hours) + step,
        "until": until,
        "seconds": step.total_seconds(),
    }
    return [CheckSlot(*row) for row in session.execute(SLOTS, values)]


def _percent(part: int, whole: int) -> Decimal | None:
    return (Decimal(100 * part) / whole).quantize(Decimal("0.1")) if whole else None
