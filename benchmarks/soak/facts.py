"""What the database, the instruments, Prefect and the logs say in the end."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import text

from benchmarks.soak.work import SAMPLE
from deployments.demo.scenario import Hub
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import ROOT, python_module
from models.kernel.tenancy import known_tenants, tenant_session

TENANT = "lagoon"
ASSIGNMENTS = text("""
SELECT a.id, a.status, a.request_id, a.sample_id, a.remarks, COALESCE(e.is_idempotent, false) AS is_idempotent,
       (SELECT count(*) FROM result r WHERE r.tenant_id = a.tenant_id AND r.assignment_id = a.id) AS results,
       (SELECT d.state || ': ' || COALESCE(d.last_answer, '') FROM delivery d JOIN outbox_event o
          ON o.tenant_id = d.tenant_id AND o.id = d.event_id
        WHERE o.tenant_id = a.tenant_id AND o.entity = 'assignment:' || a.id AND d.destination LIKE 'instrument:%'
        ORDER BY d.id DESC LIMIT 1) AS submission,
       (SELECT string_agg(v->>'rule', ' ') FROM held_result h, jsonb_array_elements(h.violations) v
        WHERE h.tenant_id = a.tenant_id AND h.assignment_id = a.id AND h.state = 'open') AS held_by
FROM assignment a LEFT JOIN equipment e ON e.tenant_id = a.tenant_id AND e.id = a.equipment_id
WHERE starts_with(a.sample_id, :sample) ORDER BY a.id
""")
LEASES = text("""
SELECT (SELECT count(*) FROM delivery WHERE state = 'leased')
     + (SELECT count(*) FROM assignment WHERE poll_lease_owner IS NOT NULL AND status IN ('Q', 'I'))
""")
DELIVERIES = text("SELECT state, count(*) FROM delivery GROUP BY state")
LOCKED = "database is locked"


@dataclass(frozen=True, slots=True)
class Order:
    """One order and what became of it."""

    id: int
    status: str
    request_id: str
    sample_id: str
    remarks: str
    is_idempotent: bool
    results: int
    submission: str | None
    held_by: str | None

    @property
    def reason(self) -> str:
        """Why it did not end as a result, in one line."""
        return (self.held_by or self.remarks or self.submission or "").replace("\n", " ")[:160]


def load_orders() -> list[Order]:
    """Every order of the soak."""
    with tenant_session(known_tenants(TENANT)[0].id) as session:
        return [Order(**row._mapping) for row in session.execute(ASSIGNMENTS, {"sample": SAMPLE})]


def count_leases() -> int:
    """Submissions, messages and polls that some run still holds."""
    with tenant_session(known_tenants(TENANT)[0].id) as session:
        return int(session.scalar(LEASES) or 0)


def count_deliveries() -> dict[str, int]:
    """Deliveries by state."""
    with tenant_session(known_tenants(TENANT)[0].id) as session:
        return dict(session.execute(DELIVERIES).tuples().all())


def count_entries(hub: Hub, instruments: int) -> Counter[str]:
    """How many entries the analysers' queues have had for each request."""
    entries: Counter[str] = Counter()
    with httpx.Client(base_url=hub.settings["LABWIRE_DEMO_INSTRUMENT_CONTROL"], trust_env=False, timeout=30) as client:
        for number in range(instruments):
            queue = client.get("/control/queue", params={"instrument": number}).raise_for_status().json()
            entries.update(entry["request"]["requestId"] for entry in queue)
    return entries


def audit_verdict() -> tuple[bool, str]:
    """Whether `labwire audit verify` finds nothing, and what it said."""
    line = python_module("deployments.cli.main", "audit", "verify", "--json")
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode not in (0, 1) or not done.stdout:
        return False, f"ended with {done.returncode}: {done.stderr[-300:]}"
    answer = json.loads(done.stdout)
    sealed = sum(tenant["sealed"] for tenant in answer["tenants"])
    findings = [finding for tenant in answer["tenants"] for finding in tenant["findings"]]
    return done.returncode == 0 and sealed > 0, f"{sealed} rows sealed, {len(findings)} findings {findings[:2] or ''}"


def count_locked(folder: StateFolder) -> int:
    """Lines of the Prefect server's logs that tell of its database being locked."""
    logs = folder.logs.glob("prefect.log*")
    return sum(LOCKED in line for log in logs for line in log.read_text(errors="replace").splitlines())


def old_runs(runs: Sequence[dict[str, Any]], *, seconds: float) -> list[str]:
    """Of unfinished runs those that have been so for longer than this."""
    now = datetime.now(UTC)
    return [
        f"{run['name']} {run['state_name']}"
        for run in runs
        if (now - datetime.fromisoformat(run["state"]["timestamp"])).total_seconds() > seconds
    ]
