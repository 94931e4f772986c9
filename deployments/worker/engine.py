"""One flow run's process: `python -m deployments.worker.engine`, the command of our work pool.

The stock worker reads its runs' output through a pipe. When the worker is killed the pipe breaks, and the next line a
run logs to its console ends it (rich answers a broken pipe with SystemExit). So the run writes to a file of its own.
"""

import os
import sys

LOG_NAME = "runs"


def main() -> None:
    """Become Prefect's engine, writing to `logs/runs.log` of the state folder; without one, to the worker as usual."""
    state_dir = os.environ.get("LABWIRE_STATE_DIR")
    if state_dir:
        path = os.path.join(state_dir, "logs", f"{LOG_NAME}.log")
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    os.execv(sys.executable, [sys.executable, "-m", "prefect.engine"])  # noqa: S606 # no shell is meant


if __name__ == "__main__":
    main()
