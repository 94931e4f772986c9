"""A small process beside the launcher that outlives it for a moment, to end what a SIGKILL of the launcher leaves over.

The launcher's own children die with it (PR_SET_PDEATHSIG), but that does not reach their children, such as the
processes of flow runs. The guard holds the reading end of a pipe whose only writer is the launcher: when it closes,
the launcher is gone, and whatever still carries the session in its environment is ended.
Run as a file by a bare interpreter, so it costs little memory: `python -I -S guard.py SESSION`.
"""

import os
import runpy
import signal
import sys


def main(session: str) -> None:
    """Wait for the launcher's end, then end the session."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    # Loaded only now: until then the guard shall cost as little as it can.
    process = runpy.run_path(os.path.join(os.path.dirname(os.path.abspath(__file__)), "process.py"))
    process["end_session"](session, grace_seconds=0)


if __name__ == "__main__":
    main(sys.argv[1])
