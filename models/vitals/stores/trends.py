"""How a patient's vital signs went: at most a few hundred points of each, however many readings there are."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.vitals.measures import MEASURES

POINTS = 240


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of time with readings: its middle reading's time, and the least, mean and greatest value."""

    at: datetime
    low: float
    mean: float
    high: float


_FIGURES = ", ".join(
    f"min(v.{one.name}) AS {one.name}_low, avg(v.{one.name}) AS {one.name}_mean, max(v.{one.name}) AS {one.name}_high, "
    f"to_timestamp(avg(extract(epoch FROM v.recorded_at)) FILTER (WHERE v.{one.name} IS NOT NULL)) AS {one.name}_at"
    for one in MEASURES
)
TREND = text(
    f"SELECT date_bin(:step, v.recorded_at, :since) AS stretch, {_FIGURES} FROM vital_sign v "  # noqa: S608 - our names
    "WHERE v.tenant_id = :tenant_id AND v.patient_id = :patient_id AND v.recorded_at >= :since "
    "AND v.recorded_at < :until GROUP BY stretch ORDER BY stretch"
)


def load_trends(
    session: Session, tenant_id: int, patient_id: int, *, since: datetime, until: datetime
) -> dict[str, list[Point]]:
    """The points of each vital sign that was measured in this time."""
    step = max((until - since) / POINTS, timedelta(seconds=1))
    values: dict[str, Any] = {"step": step, "since": since, "until": until}
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
