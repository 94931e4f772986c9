"""Clear what an earlier worker left, then start the stock process worker: `python -m deployments.worker.run`."""

import os
import sys

from deployments.launcher.process import SESSION_VARIABLE
from deployments.worker.catch_up import drop_missed_runs
from deployments.worker.lost_runs import settle_lost_runs
from deployments.worker.pool import ensure_pool
from deployments.worker.rest import PrefectRest
from models.kernel.settings import settings

WORKER_NAME = "labwire"


def main() -> None:
    """Become the worker: same process, so that whoever watches this one watches it."""
    pool = os.environ["LABWIRE_WORK_POOL"]
    session = os.environ[SESSION_VARIABLE]
    with PrefectRest() as rest:
        ensure_pool(rest, pool)
        lost = settle_lost_runs(rest, pool=pool, session=session, own_worker=WORKER_NAME)
        missed = drop_missed_runs(rest)
    sys.stdout.write(f"lost runs marked as crashed: {lost}; missed runs dropped: {missed}\n")
    sys.stdout.flush()
    line = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", "--name", WORKER_NAME]
    line += ["--limit", str(settings().worker_limit), "--install-policy", "never"]
    os.execv(sys.executable, [sys.executable, *line])  # noqa: S606 # no shell is meant


if __name__ == "__main__":
    main()
