"""How a patient's vital signs went: at most a few hundred points of each, however many readings there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.vitals.measures import BY_NAME, MEASURES

POINTS = 240


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of time with readings: its middle reading's time, and the least, mean and greatest value."""

    at: datetime
    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Latest:
    """The last measured value of a vital sign, and when that was."""

    value: float
    at: datetime


_FIGURES = ", ".join(
    f"min(v.{one.name}) AS {one.name}_low, avg(v.{one.name}) AS {one.name}_mean, max(v.{one.name}) AS {one.name}_high, "
    f"to_timestamp(avg(extract(epoch FROM v.recorded_at)) FILTER (WHERE v.{one.name} IS NOT NULL)) AS {one.name}_at"
    for one in MEASURES
)
TREND = text(
    f"SELECT date_bin(:step, v.recorded_at, :since) AS stretch, {_FIGURES} FROM vital_sign v "  # noqa: S608 - our names
    "WHERE v.tenant_id = :tenant_id AND v.patient_id = :patient_id AND v.recorded_at >= :since "
    "AND v.recorded_at < :until AND v.id NOT IN (SELECT c.corrects_id FROM vital_sign c "
    "WHERE c.tenant_id = :tenant_id AND c.patient_id = :patient_id AND c.recorded_at >= :since "
    "AND c.recorded_at < :until AND c.corrects_id IS NOT NULL) "
    "GROUP BY stretch ORDER BY stretch"
)
"""Without what a later reading corrects."""


def load_trends(
    session: Session, tenant_id: int, patient_id: int, *, since: datetime, until: datetime
) -> dict[str, list[Point]]:
    """The points of each vital sign that was measured in this time. A point's mean is no measured value."""
    values: dict[str, Any] = {"step": step_between(since, until), "since": since, "until": until}
    rows = session.execute(TREND, values | {"tenant_id": tenant_id, "patient_id": patient_id}).mappings().all()
    found: dict[str, list[Point]] = {}
    for one in MEASURES:
        points = [
            Point(
                row[f"{one.name}_at"],
                *(float(row[f"{one.name}_{part}"]) for part in ("low", "mean", "high")),
            )
            for row in rows
            if row[f"{one.name}_at"] is not None
        ]
        if points:
            found[one.name] = points
    return found


def load_latest(
    session: Session, tenant_id: int, patient_id: int, trends: Mapping[str, Sequence[Point]], *, step: timedelta
) -> dict[str, Latest]:
    """The last value of each of these vital signs; of two of one moment the correction. `step` is the points'."""
    found = {}
    for name, points in trends.items():
        column, near = BY_NAME[name].name, points[-1].at
        wanted = text(
            f"SELECT {column} AS value, recorded_at FROM vital_sign "  # noqa: S608 - our names
            "WHERE tenant_id = :tenant_id AND patient_id = :patient_id AND recorded_at >= :first "
            f"AND recorded_at <= :last AND {column} IS NOT NULL ORDER BY recorded_at DESC, id DESC LIMIT 1"
        )
        bounds = {"tenant_id": tenant_id, "patient_id": patient_id, "first": near - step, "last": near + step}
        row = session.execute(wanted, bounds).one()
        found[name] = Latest(float(row.value), row.recorded_at)
    return found


def step_between(since: datetime, until: datetime) -> timedelta:
    """How long a stretch is that one point stands for."""
    return max((until - since) / POINTS, timedelta(seconds=1))
