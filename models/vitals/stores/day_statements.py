"""The statements that put a day's readings into figures. Bounds of time stand in each: only their months are read."""

from collections.abc import Sequence

from sqlalchemy import text

from models.vitals import day_limits as limits

_OF = "v.tenant_id = :tenant_id AND v.device_id = ANY(:devices)"
_TODAY = f"{_OF} AND v.recorded_at >= :since AND v.recorded_at < :until"

DEVICES = text("""
SELECT d.id, d.code, d.silence_minutes FROM device d WHERE d.tenant_id = :tenant_id AND d.id > :after
ORDER BY d.id LIMIT :most
""")
GAPS = text("""
WITH period AS (
    SELECT w.id, w.device_id, greatest(w.assigned_from, :first) AS begins,
           least(coalesce(w.assigned_until, :until), :until) AS ends
    FROM device_patient w JOIN device d ON d.tenant_id = w.tenant_id AND d.id = w.device_id
    WHERE w.tenant_id = :tenant_id AND w.device_id = ANY(:devices) AND d.is_active
      AND w.assigned_from < :until AND coalesce(w.assigned_until > :first, true)
), moment AS (
    SELECT p.id, p.device_id, v.recorded_at AS at
    FROM period p JOIN vital_sign v ON v.tenant_id = :tenant_id AND v.device_id = p.device_id
    WHERE v.recorded_at >= p.begins AND v.recorded_at < p.ends
      AND v.recorded_at >= :first AND v.recorded_at < :until
    UNION ALL SELECT id, device_id, begins FROM period
    UNION ALL SELECT id, device_id, ends - interval '1 microsecond' FROM period
), stretch AS (
    SELECT device_id, CAST(at AT TIME ZONE :time_zone AS date) AS day,
           extract(epoch FROM at - lag(at) OVER (PARTITION BY id ORDER BY at)) / 60 AS minutes
    FROM moment
), longest AS (
    SELECT device_id, day, max(minutes) AS minutes FROM stretch WHERE minutes IS NOT NULL GROUP BY device_id, day
)
SELECT device_id, max(minutes) FILTER (WHERE day = :day) AS longest,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes) FILTER (WHERE day < :day) AS usual,
       count(*) FILTER (WHERE day < :day) AS days
FROM longest GROUP BY device_id
""")
"""The end of a day, or of a patient's time with the device, ends a stretch. One that began the day before counts whole,
and belongs to the day it ends in: a silence over midnight is not cut into two that nobody would notice."""


def _each(names: Sequence[str], form: str) -> str:
    return ", ".join(form.format(name=name) for name in names)


_STAYING = _each(tuple(limits.STUCK_HOURS), "('{name}', CAST(v.{name} AS numeric))")
SAME = text(f"""
WITH given AS (
    SELECT v.device_id, v.recorded_at, v.id, m.measure, m.value
    FROM vital_sign v, LATERAL (VALUES {_STAYING}) AS m(measure, value)
    WHERE {_TODAY} AND m.value IS NOT NULL
), changed AS (
    SELECT *, CAST(value IS DISTINCT FROM lag(value) OVER one AS integer) AS is_new FROM given
    WINDOW one AS (PARTITION BY device_id, measure ORDER BY recorded_at, id)
), numbered AS (
    SELECT *, sum(is_new) OVER (PARTITION BY device_id, measure ORDER BY recorded_at, id) AS run FROM changed
), run AS (
    SELECT device_id, measure, value, count(*) AS readings, max(recorded_at) - min(recorded_at) AS length
    FROM numbered GROUP BY device_id, measure, run, value
)
SELECT device_id, measure, coalesce(max(extract(epoch FROM length) / 3600) FILTER (
    WHERE readings >= :fewest AND value IS DISTINCT FROM CAST(CAST(:ends AS jsonb) ->> measure AS numeric)), 0) AS hours
FROM run GROUP BY device_id, measure HAVING sum(readings) >= :fewest
""")  # noqa: S608 # our names
_MEDIANS = _each(
    tuple(limits.DRIFT_FLOORS),
    "count(v.{name}) AS {name}_readings, percentile_cont(0.5) WITHIN GROUP (ORDER BY v.{name}) AS {name}",
)
_DRIFTING = _each(tuple(limits.DRIFT_FLOORS), "('{name}', p.{name}_readings, p.{name})")
COURSES = text(f"""
WITH part AS (
    SELECT v.device_id, v.patient_id, CAST(v.recorded_at AT TIME ZONE :time_zone AS date) AS day,
           max(v.recorded_at) AS latest, {_MEDIANS}
    FROM vital_sign v WHERE {_OF} AND v.recorded_at >= :first AND v.recorded_at < :until GROUP BY 1, 2, 3
), wearer AS (
    SELECT DISTINCT ON (device_id) device_id, patient_id FROM part WHERE day = :day ORDER BY device_id, latest DESC
), median AS (
    SELECT p.device_id, p.day, m.measure, m.value
    FROM part p JOIN wearer USING (device_id, patient_id),
         LATERAL (VALUES {_DRIFTING}) AS m(measure, readings, value)
    WHERE m.readings >= :fewest
), usual AS (
    SELECT device_id, measure, percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS value, count(*) AS days
    FROM median WHERE day < :day GROUP BY device_id, measure
), deviation AS (
    SELECT device_id, measure, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(m.value - u.value)) AS value
    FROM median m JOIN usual u USING (device_id, measure) WHERE m.day < :day GROUP BY device_id, measure
)
SELECT device_id, measure, m.value AS median, u.value AS usual, d.value AS deviation, u.days
FROM median m JOIN usual u USING (device_id, measure) JOIN deviation d USING (device_id, measure) WHERE m.day = :day
""")  # noqa: S608 # our names
"""Medians of days, not of all readings: a day's median moves far less than its readings do. Only days of the patient
who wore the device last on the day count; somebody else's are not its history."""
SIGNALS = text(f"""
SELECT v.device_id, count(*) AS stored, count(v.signal_quality) AS signals,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY v.signal_quality) AS signal
FROM vital_sign v WHERE {_TODAY} GROUP BY v.device_id
""")  # noqa: S608 # our names
BATTERIES = text(f"""
WITH level AS (
    SELECT v.device_id, v.recorded_at, v.id, v.battery_level, v.battery_level - min(v.battery_level) OVER (
        PARTITION BY v.device_id ORDER BY v.recorded_at, v.id ROWS UNBOUNDED PRECEDING) AS rise
    FROM vital_sign v WHERE {_TODAY} AND v.battery_level IS NOT NULL
)
SELECT device_id, max(rise) AS rise, extract(epoch FROM max(recorded_at) - min(recorded_at)) / 3600 AS hours,
       (array_agg(battery_level ORDER BY recorded_at, id))[1] AS first,
       (array_agg(battery_level ORDER BY recorded_at DESC, id DESC))[1] AS last
FROM level GROUP BY device_id
""")  # noqa: S608 # our names
HELD = text("""
SELECT h.device_id, count(*) AS held
FROM held_reading h CROSS JOIN LATERAL (
    SELECT CASE WHEN h.findings @> '[{"field": "timestamp"}]' THEN h.received_at ELSE h.recorded_at END AS at) t
WHERE h.tenant_id = :tenant_id AND h.device_id = ANY(:devices) AND t.at >= :since AND t.at < :until
  AND h.settlement IS DISTINCT FROM 'released'
GROUP BY h.device_id
""")
"""By the day they came in where it is their time that is not believed; what a person released was no mistake."""
