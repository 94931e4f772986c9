"""The statements of the devices' door: who may come in, who was heard of, how much was sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from models.kernel.pipeline import Asked, Prepared
from models.vitals.readings import Reading
from models.vitals.stores.looking import LOOK_TYPES, THERE, WEARERS

NOTE_CONTACT = Prepared(
    "vitals_note_contact",
    "bigint, timestamptz, jsonb",
    """
WITH let_in AS MATERIALIZED (
    SELECT r.* FROM jsonb_to_recordset($3) AS r(device_id bigint, key_id bigint, contact_at timestamptz, writes boolean,
        latest_at timestamptz, reading_at timestamptz, battery_level bigint, signal_quality bigint, readings bigint)
    WHERE r.key_id IS NULL OR (
        SELECT k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
           AND (NOT r.writes OR (d.is_active AND k.can_write_vitals))
        FROM device_key k JOIN device d ON d.tenant_id = $1 AND d.id = k.device_id
        WHERE k.tenant_id = $1 AND k.id = r.key_id)
), counted AS (
    INSERT INTO tenant_rate AS c (tenant_id, connection, minute, readings)
    SELECT $1, pg_backend_pid(), $2, sum(readings) FROM let_in HAVING sum(readings) > 0
    ON CONFLICT (tenant_id, connection) DO UPDATE SET minute = greatest(c.minute, excluded.minute),
        readings = excluded.readings + CASE WHEN c.minute >= excluded.minute THEN c.readings ELSE 0 END
)
INSERT INTO device_contact AS c (tenant_id, device_id, contact_at, key_id, reading_at, battery_level, signal_quality,
    latest_at, minute, readings)
SELECT $1, r.device_id, max(r.contact_at), max(r.key_id), max(r.reading_at),
       (array_agg(r.battery_level ORDER BY r.reading_at DESC) FILTER (WHERE r.battery_level IS NOT NULL))[1],
       (array_agg(r.signal_quality ORDER BY r.reading_at DESC) FILTER (WHERE r.signal_quality IS NOT NULL))[1],
       max(r.latest_at), $2, coalesce(sum(r.readings), 0)
FROM let_in r GROUP BY r.device_id ORDER BY r.device_id
ON CONFLICT (tenant_id, device_id) DO UPDATE SET
    contact_at = greatest(c.contact_at, excluded.contact_at), key_id = coalesce(excluded.key_id, c.key_id),
    battery_level = CASE WHEN c.reading_at IS NULL OR excluded.reading_at >= c.reading_at
        THEN coalesce(excluded.battery_level, c.battery_level) ELSE c.battery_level END,
    signal_quality = CASE WHEN c.reading_at IS NULL OR excluded.reading_at >= c.reading_at
        THEN coalesce(excluded.signal_quality, c.signal_quality) ELSE c.signal_quality END,
    reading_at = greatest(c.reading_at, excluded.reading_at),
    silence_told_at = CASE WHEN excluded.reading_at IS NULL THEN c.silence_told_at END,
    latest_before_at = c.latest_at, latest_at = greatest(c.latest_at, excluded.latest_at),
    minute = greatest(c.minute, excluded.minute),
    readings = excluded.readings + CASE WHEN c.minute >= excluded.minute THEN c.readings ELSE 0 END
""",
)
"""Only of requests whose key opens the door now; without a key they are of files, and not counted.

The rows of the devices' contacts are held in the order of ids from here on. What a tenant sends is counted in a row for
each connection, so that none waits for another."""


def heard(readings: Sequence[Reading], received_at: datetime) -> dict[str, Any]:
    """What these readings of one device say of it, for `NOTE_CONTACT`; battery and signal are its latest ones'."""
    row: dict[str, Any] = {}
    latest = readings[0].recorded_at
    for reading in readings:
        if reading.recorded_at >= latest:
            latest = reading.recorded_at
            for name in ("battery_level", "signal_quality"):
                if getattr(reading, name) is not None:
                    row[name] = getattr(reading, name)
    return row | {"latest_at": latest, "reading_at": min(latest, received_at)}


class Found(NamedTuple):
    """What `Known`, `Gate` and the limits are made of: JSON, None where there is none."""

    wearers: list[list[Any]] | None
    there: list[list[Any]] | None
    gates: list[list[Any]] | None
    policy: list[int | None] | None
    tenant_readings: Decimal


GATE = Asked(
    "vitals_gate",
    f"{LOOK_TYPES}, bigint[], timestamptz",
    f"""
SELECT {WEARERS} AS wearers, {THERE} AS there, (
    SELECT jsonb_agg(jsonb_build_array(k.id, k.device_id,
        k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()), d.is_active, k.can_write_vitals,
        k.can_read_patient, d.rate_per_minute, CASE WHEN c.minute >= $7 THEN c.readings END))
    FROM device_key k JOIN device d ON d.tenant_id = k.tenant_id AND d.id = k.device_id
    LEFT JOIN device_contact c ON c.tenant_id = k.tenant_id AND c.device_id = k.device_id
    WHERE k.tenant_id = $1 AND k.id = ANY($6)
) AS gates, (
    SELECT jsonb_build_array(p.backfill_days, p.device_rate_per_minute, p.tenant_rate_per_minute)
    FROM vitals_policy p WHERE p.tenant_id = $1
) AS policy, (
    SELECT coalesce(sum(t.readings), 0) FROM tenant_rate t WHERE t.tenant_id = $1 AND t.minute >= $7
) AS tenant_readings
""",  # noqa: S608 # parts of ours
    Found,
)
"""All that must be known to answer; asked while the contacts are held, so that nobody else stores readings of them."""

WRITE_DOWN = Prepared(
    "vitals_write_down",
    "bigint, jsonb",
    "INSERT INTO device_activity (tenant_id, at, device_id, key_id, ip_address, door, status, readings, error) "
    "SELECT $1, r.at, r.device_id, r.key_id, r.ip_address, r.door, r.status, r.readings, r.error "
    "FROM jsonb_to_recordset($2) AS r(at timestamptz, device_id bigint, key_id bigint, ip_address text, door text, "
    "status bigint, readings bigint, error text)",
)


@dataclass(frozen=True, slots=True)
class Gate:
    """How a key and its device stand; `readings` is what the device sent in the running minute, this group included."""

    key_id: int
    device_id: int
    is_valid: bool
    is_active: bool
    can_write_vitals: bool
    can_read_patient: bool
    rate: int | None
    readings: int | None

    def refusal(self, *, writes: bool) -> tuple[int, str] | None:
        """Why the key does not open the door; None when it does."""
        if not self.is_valid:
            return 401, "Invalid API key"
        if writes and not self.is_active:
            return 401, "API key not active"
        if writes and not self.can_write_vitals:
            return 403, "API key lacks permission"
        return None
