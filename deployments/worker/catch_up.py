"""After downtime at most one late run per deployment: each flow takes everything that is due, so one is enough."""

from datetime import UTC, datetime

from deployments.worker.rest import PrefectRest

PAGE = 200


def drop_missed_runs(rest: PrefectRest) -> int:
    """Delete scheduled runs whose time has passed, but for each deployment's latest, and those people asked for."""
    query = {
        "sort": "EXPECTED_START_TIME_DESC",
        "limit": PAGE,
        "flow_runs": {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": datetime.now(UTC).isoformat()},
        },
    }
    dropped, offset, kept = 0, 0, set()
    while runs := rest.post("/flow_runs/filter", query | {"offset": offset}):
        for run in runs:
            if run["auto_scheduled"] and run["deployment_id"] in kept:
                rest.delete(f"/flow_runs/{run['id']}")
                dropped += 1
                continue
            offset += 1
            if run["auto_scheduled"]:
                kept.add(run["deployment_id"])
    return dropped
