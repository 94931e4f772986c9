"""Searching the audit trail for page and API: what an administrator without a clinical role may not see is left out."""

from dataclasses import asdict
from typing import Any

from api.deps import Caller, tenant_work
from models.kernel.audit import Action, record
from models.people.roles import CLINICAL
from models.upkeep.audit_trail import AuditFilter, AuditRow, list_audit

WITHOUT_PATIENTS = frozenset(
    {
        *("user", "token", "tenant", "route", "audit_event", "delivery"),
        *("equipment", "department", "test_definition", "panel", "catalogue"),
    }
)
"""Resource types whose changes never concern a patient; any other needs a clinical role."""


def search(
    caller: Caller, wanted: AuditFilter, *, size: int, before_id: int | None = None
) -> tuple[list[tuple[AuditRow, dict[str, Any] | None]], int | None]:
    """Rows with the changes the caller may see, and where the next page begins. The search itself is audited."""
    with tenant_work(caller) as session:
        rows = list_audit(session, caller.tenant_id, wanted, limit=size + 1, before_id=before_id)
        shown = rows[:size]
        about = {name: str(value) for name, value in asdict(wanted).items() if value}
        span = f"{shown[-1].id}-{shown[0].id}" if shown else ""
        record(session, caller.tenant_id, caller.actor, Action("audit.read", "audit_event", span, {"wanted": about}))
    is_clinical = caller.has(*CLINICAL)
    seen = [(row, row.changes if is_clinical or row.resource_type in WITHOUT_PATIENTS else None) for row in shown]
    return seen, shown[-1].id if len(rows) > size else None
