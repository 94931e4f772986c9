"""What a live reading raises; late ones were true once, and alarm nobody."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.alerts.stores.raising import Seen, look_at_alerts, raise_alerts
from models.kernel.pipeline import Pipeline, Prepared, as_json
from models.vitals.readings import Reading
from models.vitals.rules import is_live


@dataclass(frozen=True, slots=True)
class New:
    """A reading just stored."""

    vital_sign_id: int
    patient_id: int
    received_at: datetime
    reading: Reading


COUNTED = Prepared(
    "vitals_count_alerts",
    "bigint, jsonb, timestamptz, timestamptz",
    "UPDATE vital_sign v SET alerts_triggered = r.alerts "
    "FROM jsonb_to_recordset($2) AS r(id bigint, recorded_at timestamptz, alerts bigint) "
    "WHERE v.tenant_id = $1 AND v.id = r.id AND v.recorded_at = r.recorded_at AND v.recorded_at BETWEEN $3 AND $4",
)


def alarm(pipeline: Pipeline, tenant_id: int, new: Sequence[New]) -> dict[int, int]:
    """How many alerts each of these readings opened or worsened, by its id; kept with it, to be answered again."""
    live = [one for one in new if is_live(one.reading.recorded_at, one.received_at)]
    if not live:
        return {}
    standing = look_at_alerts(pipeline, tenant_id, sorted({one.patient_id for one in live}))
    counts = raise_alerts(pipeline.session, tenant_id, [_seen(one) for one in live], standing)
    if counts:
        moments = {one.vital_sign_id: one.reading.recorded_at for one in live if one.vital_sign_id in counts}
        rows = [{"id": id_, "recorded_at": at, "alerts": counts[id_]} for id_, at in moments.items()]
        pipeline.put(COUNTED, tenant_id, as_json(rows), min(moments.values()), max(moments.values()))
    return counts


def _seen(one: New) -> Seen:
    return Seen(
        vital_sign_id=one.vital_sign_id,
        patient_id=one.patient_id,
        recorded_at=one.reading.recorded_at,
        values={name: measured.canonical for name, measured in one.reading.values.items()},
        consciousness=one.reading.consciousness,
        supplemental_oxygen=one.reading.supplemental_oxygen,
    )
