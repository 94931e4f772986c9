"""Clear what an earlier worker left, then become the worker: `python -m deployments.worker.run`."""

import os
import sys

from deployments.launcher.process import SESSION_VARIABLE
from deployments.worker.catch_up import drop_missed_runs
from deployments.worker.lost_runs import settle_lost_runs
from deployments.worker.pool import await_pool
from deployments.worker.rest import PrefectRest
from models.kernel.settings import settings

WORKER_NAME = "labwire"
PACE = {
    # A run starts half a second after it is found; the server answers each look in a few ms.
    "labwire-warm": {"PREFECT_WORKER_QUERY_SECONDS": "0.3", "PREFECT_WORKER_PREFETCH_SECONDS": "0"},
    "process": {"PREFECT_WORKER_QUERY_SECONDS": "1"},
}
"""How often a worker asks for runs that are due, unless the environment says otherwise."""


def main() -> None:
    """Become the worker: same process, so that whoever watches this one watches it."""
    pool = os.environ["LABWIRE_WORK_POOL"]
    session = os.environ[SESSION_VARIABLE]
    with PrefectRest() as rest:
        await_pool(rest, pool, settings().worker_type)
        lost = settle_lost_runs(rest, pool=pool, session=session, own_worker=WORKER_NAME)
        missed = drop_missed_runs(rest)
    sys.stdout.write(f"lost runs marked as crashed: {lost}; missed runs dropped: {missed}\n")
    sys.stdout.flush()
    kind = settings().worker_type
    line = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", kind, "--name", WORKER_NAME]
    line += ["--limit", str(settings().worker_limit), "--install-policy", "never"]
    environment = PACE[kind] | os.environ
    os.execve(sys.executable, [sys.executable, *line], environment)  # noqa: S606 # no shell is meant


if __name__ == "__main__":
    main()
