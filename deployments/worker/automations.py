"""Automations that Prefect Cloud has built in and a server of one's own lacks, made once by name.

A run whose process was killed together with its worker would stay Running (or Pending) for ever: nobody reports it.
"""

from typing import Any

from deployments.worker.rest import PrefectRest

ENDINGS = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")]
HEARTBEAT = "prefect.flow-run.heartbeat"
LOST_AFTER_SECONDS = 100
"""Three heartbeats of 30 s, the shortest period Prefect allows, and some."""
STUCK_AFTER_SECONDS = 300
"""A run's process takes seconds to start, on a laden machine a minute."""


def _crash_after(
    name: str, description: str, *, after: list[str], expect: list[str], seconds: int, message: str
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "after": after,
            "expect": expect,
            "threshold": 1,
            "within": seconds,
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": message}],
    }


AUTOMATIONS = [
    _crash_after(
        "labwire: lost runs",
        "A running flow run that gave no sign of life for three heartbeats is marked as crashed.",
        after=[HEARTBEAT],
        expect=[HEARTBEAT, *ENDINGS],
        seconds=LOST_AFTER_SECONDS,
        message="No sign of life from the run's process: it was killed, or its machine is gone.",
    ),
    _crash_after(
        "labwire: stuck runs",
        "A flow run that a worker took but whose process never began is marked as crashed.",
        after=["prefect.flow-run.Pending"],
        expect=["prefect.flow-run.Running", "prefect.flow-run.AwaitingConcurrencySlot", *ENDINGS],
        seconds=STUCK_AFTER_SECONDS,
        message="Its process never began: the worker that took the run was killed.",
    ),
]


def ensure_automations(rest: PrefectRest) -> list[str]:
    """Make the missing ones and return their names; one that a person changed or switched off is left as it is."""
    names = [automation["name"] for automation in AUTOMATIONS]
    found = rest.post("/automations/filter", {"automations": {"name": {"any_": names}}})
    there = {automation["name"] for automation in found}
    missing = [automation for automation in AUTOMATIONS if automation["name"] not in there]
    for automation in missing:
        rest.post("/automations/", automation)
    return [automation["name"] for automation in missing]
