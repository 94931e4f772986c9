"""Before a worker starts: runs whose process is gone are marked as crashed at once.

Otherwise they would be shown as running until the automation notices, and keep the place of a deployment that runs
one at a time for minutes: each new run of it would be cancelled meanwhile.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from deployments.launcher.process import members
from deployments.worker.rest import PrefectRest
from deployments.worker.warm import run_locks

RUN_VARIABLE = b"PREFECT__FLOW_RUN_ID="
UNFINISHED = ["PENDING", "RUNNING", "CANCELLING"]
SIGN_OF_LIFE_SECONDS = 90
"""Three of a worker's heartbeats; a worker heard of within this time may have runs we cannot see."""
PAGE = 200


def settle_lost_runs(rest: PrefectRest, *, pool: str, session: str, own_worker: str) -> int:
    """Mark the pool's unfinished runs without a process on this machine as crashed; how many there were.

    With another worker on the pool, which may lie on another machine, nothing is touched: the automation decides.
    """
    if _has_other_workers(rest, pool, own_worker):
        return 0
    alive = _running_ids(session)
    query = {
        "limit": PAGE,
        "flow_runs": {"state": {"type": {"any_": UNFINISHED}}},
        "work_pools": {"name": {"any_": [pool]}},
    }
    lost = [run["id"] for run in rest.post("/flow_runs/filter", query) if run["id"] not in alive]
    for run_id in lost:
        crashed = {
            "type": "CRASHED",
            "name": "Crashed",
            "message": "Its process ended with the worker or the launcher.",
        }
        rest.post(f"/flow_runs/{run_id}/set_state", {"state": crashed, "force": True})
    return len(lost)


def _has_other_workers(rest: PrefectRest, pool: str, own_worker: str) -> bool:
    recently = datetime.now(UTC) - timedelta(seconds=SIGN_OF_LIFE_SECONDS)
    return any(
        worker["name"] != own_worker and datetime.fromisoformat(worker["last_heartbeat_time"]) > recently
        for worker in rest.post(f"/work_pools/{pool}/workers/filter", {})
    )


def _running_ids(session: str) -> set[str]:
    """Flow runs whose processes, started by an earlier worker of this session, are still at work."""
    found = run_locks.at_work()
    for pid in members(session):
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile
            continue
        found |= {line.removeprefix(RUN_VARIABLE).decode() for line in variables if line.startswith(RUN_VARIABLE)}
    return found
