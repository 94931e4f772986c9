"""Partitions made ahead and watched, counts of past minutes removed, and who is told of silent and doubtful devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record_many
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish
from models.kernel.settings import settings

MONTHS_BACK, MONTHS_AHEAD = 25, 3
"""Readings come as late as two years by default; a month made ahead is one nobody waits for."""
RATES_KEPT = timedelta(days=1)
MOST_IN_A_MAIL = 50
PARTITIONED = {"vital_sign": "recorded_at", "device_activity": "at"}


@dataclass(frozen=True, slots=True)
class Silent:
    """A device of which nothing came for longer than it may be silent."""

    device_id: int
    code: str
    minutes: int


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A device whose day has findings: rule to by how much, in words without a patient's value."""

    device_id: int
    code: str
    findings: Mapping[str, str]


def make_partitions(session: Session, *, back: int = MONTHS_BACK, ahead: int = MONTHS_AHEAD) -> int:
    """Make the months that are missing; how many there were."""
    made = session.scalar(text("SELECT make_partitions(:back, :ahead)"), {"back": back, "ahead": ahead})
    return int(made or 0)


BOUNDS = text("""
SELECT to_date(min(right(c.relname, 7)), 'YYYY_MM') AS first,
       to_date(max(right(c.relname, 7)), 'YYYY_MM') + interval '1 month' AS after
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST(:parent AS regclass) AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
""")


def strays(session: Session, tenant_id: int) -> dict[str, int]:
    """Rows that fit no month and so lie in a default partition, by table; there should be none."""
    found = {}
    for table, column in PARTITIONED.items():
        first, after = session.execute(BOUNDS, {"parent": table}).one()
        counted = text(
            f"SELECT count(*) FROM {table} WHERE tenant_id = :tenant_id "  # noqa: S608 # PARTITIONED
            f"AND ({column} < CAST(:first AS timestamp) AT TIME ZONE 'UTC' "
            f"OR {column} >= CAST(:after AS timestamp) AT TIME ZONE 'UTC')"
        )
        number = session.scalar(counted, {"tenant_id": tenant_id, "first": first, "after": after}) or 0
        if number:
            found[table] = number
    return found


def forget_rates(session: Session, tenant_id: int, *, now: datetime) -> int:
    """Remove the counts of minutes long past; how many there were."""
    statement = text("DELETE FROM tenant_rate WHERE tenant_id = :tenant_id AND minute < :before RETURNING 1")
    return len(session.execute(statement, {"tenant_id": tenant_id, "before": now - RATES_KEPT}).all())


SILENT = text("""
UPDATE device_contact c SET silence_told_at = :now
FROM device d
WHERE c.tenant_id = :tenant_id AND d.tenant_id = c.tenant_id AND d.id = c.device_id AND d.is_active
  AND c.silence_told_at IS NULL AND c.reading_at < :now - make_interval(mins => CAST(d.silence_minutes AS integer))
RETURNING d.id, d.code, CAST(floor(extract(epoch FROM :now - c.reading_at) / 60) AS bigint) AS minutes
""")
TO_TELL = text("""
SELECT email FROM app_user
WHERE tenant_id = :tenant_id AND is_active AND roles && ARRAY['supervisor', 'technician'] ORDER BY email
""")


def tell_of_silence(session: Session, tenant_id: int, actor: Actor, *, now: datetime) -> tuple[list[Silent], bool]:
    """Devices that have just been silent for too long, told of once, by one mail; whether there was anybody to tell.

    Silence is counted from a device's latest reading; one that never sent anything is not known to be silent.
    """
    rows = session.execute(SILENT, {"tenant_id": tenant_id, "now": now}).all()
    silent = sorted((Silent(row.id, row.code, row.minutes) for row in rows), key=lambda one: one.code)
    if not silent:
        return [], True
    actions = [Action("device.silent", "device", one.device_id, {"minutes": one.minutes}) for one in silent]
    record_many(session, tenant_id, actor, actions)
    to = session.scalars(TO_TELL, {"tenant_id": tenant_id}).all()
    if to:
        _mail(session, tenant_id, silent, to)
    return silent, bool(to)


def tell_of_doubtful(session: Session, tenant_id: int, actor: Actor, day: date, doubtful: Sequence[Doubtful]) -> bool:
    """One mail about these devices and that day; whether there was anybody to tell."""
    actions = [
        Action("device.doubtful", "device", one.device_id, {"day": day, "rules": list(one.findings)})
        for one in doubtful
    ]
    record_many(session, tenant_id, actor, actions)
    to = session.scalars(TO_TELL, {"tenant_id": tenant_id}).all()
    if to:
        rows = [{"device_id": one.code, "findings": list(one.findings.values())} for one in doubtful[:MOST_IN_A_MAIL]]
        context = {"day": day.isoformat(), "count": len(doubtful), "link": _link(), "devices": rows}
        mail = Mail("devices_doubtful", to, context)
        publish(session, tenant_id, mail_event(tenant_id, "devices.doubtful", "devices", mail, is_ordered=False))
    return bool(to)


def _mail(session: Session, tenant_id: int, silent: Sequence[Silent], to: Sequence[str]) -> None:
    context = {
        "count": len(silent),
        "link": _link(),
        "devices": [{"device_id": one.code, "minutes": one.minutes} for one in silent[:MOST_IN_A_MAIL]],
    }
    event = mail_event(tenant_id, "devices.silent", "devices", Mail("devices_silent", to, context), is_ordered=False)
    publish(session, tenant_id, event)


def _link() -> str:
    return f"{settings().base_url}/devices"
