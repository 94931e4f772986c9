"""The work pool that every deployment names: Prefect's process type, made once and then left as people change it."""

from typing import Any

from deployments.worker.rest import PrefectRest

POOL_TYPE = "process"
ENGINE = "python -m deployments.worker.engine"
"""Without a command the worker first starts a process that prepares a workspace for code fetched from elsewhere; ours
is installed, and a run starts 0.8 s (of 2.8 s) sooner without."""


def ensure_pool(rest: PrefectRest, name: str) -> bool:
    """Make the pool if it is missing; whether it was. Two at once do no harm."""
    if rest.get(f"/work_pools/{name}") is not None:
        return False
    pool = {
        "name": name,
        "type": POOL_TYPE,
        "description": "Runs the hub's flows as processes beside `labwire up`.",
        "base_job_template": _template(rest),
    }
    return rest.post("/work_pools/", pool) is not None


def _template(rest: PrefectRest) -> dict[str, Any]:
    """Prefect's own template of a process pool, as its page offers it, with our command."""
    kinds = rest.get("/collections/views/aggregate-worker-metadata") or {}
    template: dict[str, Any] = kinds["prefect"][POOL_TYPE]["default_base_job_configuration"]
    template["variables"]["properties"]["command"]["default"] = ENGINE
    return template
