"""Readings raise, worsen and clear alerts, inside the transaction that stores them.

Where nothing is abnormal and nothing is open that is one query. Otherwise the patients concerned are locked one after
the other, so that however many processes see the same fever, one alert is opened.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from models.alerts.rules import Adjustment, Level, Threshold, adjusted, healthy, readings_of
from models.alerts.spells import Judged, Spell, walk
from models.alerts.stores.changes import Happened, write_down
from models.alerts.stores.escalation import Way
from models.alerts.tables import Alert
from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from models.kernel.pipeline import Asked, Pipeline

Place = tuple[int, str]
"""A patient and a kind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A live reading: `values` by measure, in canonical units. NEWS2 is judged where all of it is there."""

    vital_sign_id: int
    patient_id: int
    recorded_at: datetime
    values: Mapping[str, Decimal]
    consciousness: str | None = None
    supplemental_oxygen: bool | None = None


def raise_alerts(
    session: Session,
    tenant_id: int,
    readings: Sequence[Seen],
    standing: "Standing | None" = None,
    *,
    now: datetime | None = None,
) -> dict[int, int]:
    """How many alerts each reading opened or worsened, by vital sign id; those that did neither are not in it.

    A patient's own limits count before the tenant's. The readings may be of many patients, in any order. `standing` is
    how these patients stand, where the caller has looked already.
    """
    if not readings:
        return {}
    if standing is None:
        standing = look_at_alerts(Pipeline(session), tenant_id, sorted({one.patient_id for one in readings}))
    limits, open_places = standing.limits, standing.open_places
    watched = {patient_id for patient_id, _ in open_places}
    watched |= {one.patient_id for one in readings if limits.is_abnormal(one)}
    if not watched:
        return {}
    judged = _judge([one for one in readings if one.patient_id in watched], limits)
    concerned = {
        place: values
        for place, values in judged.items()
        if place in open_places or any(limits.of(place).level(one.value) for one in values)
    }
    if not concerned:
        return {}
    moment = now or utc_now()
    locked = sorted({patient_id for patient_id, _ in concerned})
    _lock(session, tenant_id, locked)
    present, ended = _open_spells(session, tenant_id, locked), _last_ends(session, tenant_id, locked)
    spells = [
        (place, spell)
        for place in sorted(concerned)
        for spell in walk(limits.of(place), present.get(place), concerned[place], after=ended.get(place))
    ]
    _store(session, tenant_id, spells, limits, moment)
    changes = (change for _, spell in spells for change in spell.changes)
    return dict(Counter(change.by.vital_sign_id for change in changes if change.name != "recovered"))


USUAL = adjusted(())
USUALLY_HEALTHY = healthy(USUAL.values())


class _Limits:
    """The limits in force for each of some patients."""

    def __init__(self, adjustments: Iterable[Adjustment]) -> None:
        own: dict[int | None, list[Adjustment]] = defaultdict(list)
        for one in adjustments:
            own[one.patient_id].append(one)
        self._of_all = adjusted(own[None]) if own[None] else USUAL
        self._of_patient = {
            patient_id: adjusted([*own[None], *found]) for patient_id, found in own.items() if patient_id is not None
        }
        self._healthy = healthy(self._of_all.values()) if own[None] else USUALLY_HEALTHY
        self._healthy_of = {patient_id: healthy(found.values()) for patient_id, found in self._of_patient.items()}

    def is_abnormal(self, one: Seen) -> bool:
        """Quick, for nearly all readings are not. A NEWS2 score is counted only where one can be formed."""
        ranges = self._healthy_of.get(one.patient_id, self._healthy)
        values = one.values
        if one.consciousness is not None:
            values = readings_of(values, consciousness=one.consciousness, supplemental_oxygen=one.supplemental_oxygen)
        for name, value in values.items():
            within = ranges.get(name)
            if within is not None and not within[0] <= value <= within[1]:
                return True
        return False

    def of_patient(self, patient_id: int) -> Mapping[str, Threshold]:
        return self._of_patient.get(patient_id, self._of_all)

    def of(self, place: Place) -> Threshold:
        return self.of_patient(place[0])[place[1]]


@dataclass(frozen=True, slots=True)
class Standing:
    """The limits of some patients, and where an alert of theirs is open."""

    limits: _Limits
    open_places: set[Place]


class _Stands(NamedTuple):
    """A threshold; of an open alert `is_on` is None."""

    patient_id: int | None
    kind: str
    warning: Decimal | None
    critical: Decimal | None
    margin: Decimal | None
    is_on: bool | None


STANDING = Asked(
    "alerts_standing",
    "bigint, bigint[]",
    "SELECT t.patient_id, t.kind, t.warning, t.critical, t.margin, t.is_on FROM alert_threshold t "
    "WHERE t.tenant_id = $1 AND (t.patient_id IS NULL OR t.patient_id = ANY($2)) "
    "UNION ALL SELECT a.patient_id, a.kind, NULL, NULL, NULL, NULL FROM alert a "
    "WHERE a.tenant_id = $1 AND a.patient_id = ANY($2) AND a.closed_at IS NULL",
    _Stands,
)


def look_at_alerts(pipeline: Pipeline, tenant_id: int, patients: Sequence[int]) -> Standing:
    """How these patients stand; sends what waits in the pipeline."""
    rows = pipeline.ask(STANDING, tenant_id, list(patients))
    adjustments = [
        Adjustment(row.kind, row.patient_id, row.warning, row.critical, row.margin, row.is_on)
        for row in rows
        if row.is_on is not None
    ]
    are_open = {(row.patient_id, row.kind) for row in rows if row.is_on is None and row.patient_id is not None}
    return Standing(_Limits(adjustments), are_open)


def _judge(readings: Sequence[Seen], limits: _Limits) -> dict[Place, list[Judged]]:
    judged: dict[Place, list[Judged]] = defaultdict(list)
    for one in readings:
        found = readings_of(one.values, consciousness=one.consciousness, supplemental_oxygen=one.supplemental_oxygen)
        for kind, threshold in limits.of_patient(one.patient_id).items():
            value = found.get(threshold.measure)
            if value is not None:
                judged[one.patient_id, kind].append(Judged(one.vital_sign_id, one.recorded_at, value))
    return judged


LOCK = text("""
SELECT pg_advisory_xact_lock(k.key)
FROM (SELECT hashtextextended('labwire.alert:' || :tenant_id || ':' || p.id, 0) AS key
      FROM unnest(CAST(:patients AS bigint[])) AS p(id) ORDER BY 1 OFFSET 0) k
""")
"""In the order of their keys. No row of the patient's is locked: a merge waits for those who store readings."""


def _lock(session: Session, tenant_id: int, patients: Sequence[int]) -> None:
    session.execute(LOCK, {"tenant_id": str(tenant_id), "patients": patients})


def _open_spells(session: Session, tenant_id: int, patients: Sequence[int]) -> dict[Place, Spell]:
    """Read anew behind the lock, each row locked against those who close and acknowledge."""
    wanted = text("""
        SELECT id, patient_id, kind, level, value, seen_at FROM alert
        WHERE tenant_id = :tenant_id AND patient_id = ANY(:patients) AND closed_at IS NULL
        ORDER BY patient_id, kind FOR UPDATE
    """)
    rows = session.execute(wanted, {"tenant_id": tenant_id, "patients": patients})
    return {
        (row.patient_id, row.kind): Spell(Level(row.level), row.value, row.seen_at, alert_id=row.id) for row in rows
    }


def _last_ends(session: Session, tenant_id: int, patients: Sequence[int]) -> dict[Place, datetime]:
    wanted = text("""
        SELECT patient_id, kind, max(seen_at) AS seen_at FROM alert
        WHERE tenant_id = :tenant_id AND patient_id = ANY(:patients) AND closed_at IS NOT NULL
        GROUP BY patient_id, kind
    """)
    rows = session.execute(wanted, {"tenant_id": tenant_id, "patients": patients})
    return {(row.patient_id, row.kind): row.seen_at for row in rows}


def _store(
    session: Session, tenant_id: int, spells: Sequence[tuple[Place, Spell]], limits: _Limits, now: datetime
) -> None:
    # What was open first: a spell that ended makes way for the next one of its kind.
    _update(session, tenant_id, [spell for _, spell in spells if spell.alert_id is not None], now)
    _insert(session, tenant_id, [one for one in spells if one[1].alert_id is None], limits, now)
    happened = [
        Happened(
            spell.alert_id or 0,
            now,
            change.name,
            change.level,
            vital_sign_id=change.by.vital_sign_id,
            detail={"kind": kind},
        )
        for (_, kind), spell in spells
        for change in spell.changes
    ]
    write_down(session, tenant_id, SYSTEM, happened)
    still_open = [spell for _, spell in spells if spell.is_open and spell.changes]
    is_new = {spell.alert_id: spell.changes[0].name == "opened" for spell in still_open}
    wanted = select(Alert).where(Alert.tenant_id == tenant_id, Alert.id.in_(is_new)).order_by(Alert.id)
    alerts = session.scalars(wanted.execution_options(populate_existing=True)).all() if is_new else []
    Way(session, tenant_id, SYSTEM, now).begin(
        [alert for alert in alerts if is_new[alert.id]], [alert for alert in alerts if not is_new[alert.id]]
    )


UPDATE = text("""
UPDATE alert a SET level = r.level, value = r.value, seen_at = r.seen_at, version = a.version + r.changes,
       closed_at = CASE WHEN r.is_open THEN NULL ELSE CAST(:now AS timestamptz) END,
       ending = CASE WHEN r.is_open THEN NULL ELSE 'recovered' END,
       next_step_at = CASE WHEN r.is_open THEN a.next_step_at END
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
     AS r(id bigint, level text, value numeric, seen_at timestamptz, changes bigint, is_open boolean)
WHERE a.tenant_id = :tenant_id AND a.id = r.id
""")


def _update(session: Session, tenant_id: int, spells: Sequence[Spell], now: datetime) -> None:
    rows = [
        {
            "id": spell.alert_id,
            "level": spell.level,
            "value": str(spell.value),
            "seen_at": spell.seen_at.isoformat(),
            "changes": len(spell.changes),
            "is_open": spell.is_open,
        }
        for spell in spells
    ]
    if rows:
        session.execute(UPDATE, {"tenant_id": tenant_id, "rows": json.dumps(rows), "now": now})


def _insert(
    session: Session, tenant_id: int, spells: Sequence[tuple[Place, Spell]], limits: _Limits, now: datetime
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "tenant_id": tenant_id,
            "patient_id": place[0],
            "kind": place[1],
            "level": spell.level,
            "value": spell.value,
            "unit": limits.of(place).unit,
            "vital_sign_id": spell.changes[0].by.vital_sign_id,
            "opened_at": now,
            "seen_at": spell.seen_at,
            "closed_at": None if spell.is_open else now,
            "ending": None if spell.is_open else "recovered",
        }
        for place, spell in spells
    ]
    if rows:
        statement = insert(Alert).returning(Alert.id, sort_by_parameter_order=True)
        for (_, spell), alert_id in zip(spells, session.scalars(statement, rows), strict=True):
            spell.alert_id = alert_id
