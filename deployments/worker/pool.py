"""The work pool that every deployment names: made once, and then left as people change it."""

import json
import time
from pathlib import Path
from typing import Any

from deployments.worker.rest import PrefectRest
from models.kernel.errors import ConfigError

WARM, STOCK = "labwire-warm", "process"
TEMPLATE = Path(__file__).parent / "warm" / "template.json"
ENGINE = "python -m deployments.worker.engine"
"""For the stock worker. Without a command it first starts a process that prepares a workspace for code fetched from
elsewhere; ours is installed, and a run starts 0.8 s (of 2.8 s) sooner without."""
REPLACED_SECONDS = 120


def ensure_pool(rest: PrefectRest, name: str, kind: str) -> bool:
    """Make the pool if it is missing or of the other kind; whether it was made. Two at once do no harm.

    A pool's kind cannot be changed, so a pool of the other kind is removed; its deployments have to be applied anew.
    """
    found = rest.get(f"/work_pools/{name}")
    if found is not None and found["type"] == kind:
        return False
    if found is not None:
        rest.delete(f"/work_pools/{name}")
    pool = {
        "name": name,
        "type": kind,
        "description": "Runs the hub's flows as processes beside `labwire up`.",
        "base_job_template": _warm_template() if kind == WARM else _stock_template(rest),
    }
    return rest.post("/work_pools/", pool) is not None


def await_pool(rest: PrefectRest, name: str, kind: str) -> None:
    """Make the pool if it is missing; where it is of the other kind, wait for `labwire deploy` to replace it."""
    deadline = time.monotonic() + REPLACED_SECONDS
    while (found := rest.get(f"/work_pools/{name}")) is not None and found["type"] != kind:
        if time.monotonic() > deadline:
            raise ConfigError(f"the work pool {name} is of the type {found['type']}, wanted is {kind}")
        time.sleep(0.3)
    ensure_pool(rest, name, kind)


def _warm_template() -> dict[str, Any]:
    """What `WarmWorker.get_default_base_job_template()` gives, kept as a file: importing the worker takes a second."""
    return dict(json.loads(TEMPLATE.read_text()))


def _stock_template(rest: PrefectRest) -> dict[str, Any]:
    """Prefect's own template of a process pool, as its page offers it, with our command."""
    kinds = rest.get("/collections/views/aggregate-worker-metadata") or {}
    template: dict[str, Any] = kinds["prefect"][STOCK]["default_base_job_configuration"]
    template["variables"]["properties"]["command"]["default"] = ENGINE
    return template
