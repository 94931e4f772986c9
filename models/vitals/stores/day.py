"""A day's readings in figures, one row a device: counted by the database, however many readings there are."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, TextClause
from sqlalchemy.orm import Session

from models.vitals import day_limits as limits
from models.vitals.day_rules import Battery, Course, DeviceDay, Gaps, Window
from models.vitals.stores import day_statements as statements

DEVICES_AT_ONCE = 25
"""Their readings of 15 days are sorted together: a monitor sends 20,000 in that time."""


def load_days(session: Session, tenant_id: int, window: Window, *, after: int = 0) -> tuple[list[DeviceDay], int]:
    """The next devices after this id that were somebody's or sent something that day, and the last id looked at.

    Days of the zone in `window`. The last id is 0 when there are no more devices. A device that is not in use has no
    gaps; everything else is said of whatever came.
    """
    values = {"tenant_id": tenant_id, "after": after, "most": DEVICES_AT_ONCE}
    devices = session.execute(statements.DEVICES, values).all()
    if not devices:
        return [], 0
    load = _Loader(session, tenant_id, window, [device.id for device in devices])
    gaps, signals, batteries = (
        load.each(statements.GAPS),
        load.each(statements.SIGNALS),
        load.each(statements.BATTERIES),
    )
    held = load.each(statements.HELD)
    same = load.several(statements.SAME, fewest=limits.STUCK_READINGS, ends=json.dumps(limits.SCALE_ENDS))
    courses = load.several(statements.COURSES, fewest=limits.DRIFT_READINGS)
    days = [
        DeviceDay(
            device_id=device.id,
            code=device.code,
            silence_minutes=device.silence_minutes,
            gaps=_gaps(gaps.get(device.id)),
            same_hours={row.measure: float(row.hours) for row in same.get(device.id, ())},
            courses={row.measure: _course(row) for row in courses.get(device.id, ())},
            battery=_battery(batteries.get(device.id)),
            **_counts(signals.get(device.id), held.get(device.id)),
        )
        for device in devices
    ]
    return [day for day in days if _is_there(day)], devices[-1].id


def _is_there(day: DeviceDay) -> bool:
    return bool(day.stored or day.held or day.gaps.longest_minutes is not None)


class _Loader:
    """The same window and devices for every statement."""

    def __init__(self, session: Session, tenant_id: int, window: Window, devices: Sequence[int]) -> None:
        self._session = session
        self._values: dict[str, Any] = {
            "tenant_id": tenant_id,
            "devices": list(devices),
            **{name: getattr(window, name) for name in ("day", "time_zone", "first", "since", "until")},
        }

    def each(self, statement: TextClause) -> dict[int, Row[Any]]:
        """One row a device."""
        return {row.device_id: row for row in self._session.execute(statement, self._values)}

    def several(self, statement: TextClause, **more: Any) -> dict[int, list[Row[Any]]]:
        """Rows of each device."""
        found: dict[int, list[Row[Any]]] = {}
        for row in self._session.execute(statement, self._values | more):
            found.setdefault(row.device_id, []).append(row)
        return found


def _gaps(row: Row[Any] | None) -> Gaps:
    return Gaps() if row is None else Gaps(_number(row.longest), _number(row.usual), row.days)


def _course(row: Row[Any]) -> Course:
    return Course(row.median, row.usual, row.deviation, row.days)


def _battery(row: Row[Any] | None) -> Battery | None:
    return None if row is None else Battery(row.first, row.last, row.rise, float(row.hours))


def _counts(sent: Row[Any] | None, held: Row[Any] | None) -> dict[str, Any]:
    of_sent = {} if sent is None else {"stored": sent.stored, "signals": sent.signals, "signal": _number(sent.signal)}
    return of_sent | ({} if held is None else {"held": held.held})


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
