"""Verifying every laboratory's trail, those included that somebody took out of the database altogether."""

from models.kernel.heads import tenants_with_heads
from models.kernel.tenancy import KnownTenant, known_tenants
from models.kernel.verify import Finding, Verdict, verify_tenant

MISSING = "the laboratory is missing from the database"
EMPTY = "the trail is empty, though it begins with the laboratory's creation"


def verify_all(slug: str = "") -> list[tuple[KnownTenant, Verdict]]:
    """Each laboratory, closed ones too, or the one of that slug, with what verifying its trail came to.

    Without a slug also those of which only a head file is left: their row in the database was deleted.
    """
    tenants = known_tenants(slug, with_inactive=True)
    verdicts = [(tenant, verify_tenant(tenant.id)) for tenant in tenants]
    for _, verdict in verdicts:
        if verdict.is_sound and not (verdict.sealed or verdict.unsealed):
            verdict.add(Finding("cut", EMPTY))
    if not slug:
        known = {tenant.id for tenant in tenants}
        verdicts += [_without_a_row(tenant_id) for tenant_id in tenants_with_heads() if tenant_id not in known]
    return verdicts


def _without_a_row(tenant_id: int) -> tuple[KnownTenant, Verdict]:
    verdict = verify_tenant(tenant_id)
    verdict.add(Finding("deleted", MISSING))
    return KnownTenant(tenant_id, f"tenant {tenant_id}", "", "UTC", is_active=False), verdict
