"""prefect.yaml deploys what is documented, when, and how many runs at a time."""

from importlib.util import find_spec
from typing import Any

import pytest
import yaml

from deployments.launcher.parts import ROOT

pytestmark = pytest.mark.contract
LAGOS = "Africa/Lagos"
ONE = {"limit": 1, "collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60}
"""A run that finds another one at work is cancelled: the next one does its work."""
EXPECTED: dict[str, tuple[str, str, bool]] = {
    "check-stand-up": ("", "", True),
    "submit-assignments": ("* * * * *", "UTC", False),
    "poll-results": ("*/10 * * * *", "UTC", False),
    "retry-submissions": ("*/30 * * * *", "UTC", True),
    "check-instruments": ("*/5 * * * *", "UTC", True),
    "stale-assignments": ("0 8 * * *", LAGOS, True),
    "prepare-partitions": ("15 1 * * *", "UTC", True),
    "watch-devices": ("2-59/5 * * * *", "UTC", True),
    "ingest-vitals-files": ("* * * * *", "UTC", True),
    "check-vitals-day": ("0 3 * * *", LAGOS, True),
    "clean-archive": ("0 2 * * *", LAGOS, True),
    "escalate-alerts": ("* * * * *", "UTC", False),
    "upload-study": ("1-59/5 * * * *", "UTC", True),
    "complete-uploads": ("4-59/10 * * * *", "UTC", False),
    "scrub-storage": ("30 1 * * *", LAGOS, True),
    "move-objects": ("", "", True),
    "deliver-messages": ("* * * * *", "UTC", False),
    "seal-audit": ("* * * * *", "UTC", True),
    "report-failures": ("*/5 * * * *", "UTC", True),
    "clean-up": ("30 2 * * *", LAGOS, True),
    "replay": ("", "", False),
}
"""By name: when (empty: on demand), in whose time, and whether one run at a time."""


def deployed() -> dict[str, dict[str, Any]]:
    entries = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry for entry in entries}


def test_every_deployment_is_known_here() -> None:
    assert set(deployed()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_deployment_runs_when_it_should_and_so_many_at_a_time(name: str) -> None:
    cron, zone, is_single = EXPECTED[name]
    entry = deployed()[name]
    schedules = [{"cron": cron, "timezone": zone, "active": True}] if cron else []
    assert entry.get("schedules", []) == schedules
    assert entry.get("concurrency_limit") == (ONE if is_single else None)
    assert (entry["work_pool"]["name"], entry["enforce_parameter_schema"]) == ("labwire", True)
    module, _, flow = entry["entrypoint"].rpartition(".")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = (ROOT / spec.origin).read_text()
    assert f'@flow(name="{name}"' in source
    assert f"async def {flow}(" in source
