"""Where a run has something to do: tenants and their instruments, and claiming work at several of them at once."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy.orm import Session

from models.kernel.tenancy import group_session, known_tenants, registry_session, switch_tenant, tenant_session
from tasks.instruments.lanes import Place

Work = TypeVar("Work")


def tenants_of(tenant: str, due: Callable[[Session], Iterable[int]], *, is_chosen: bool = False) -> list[int]:
    """The active tenants, or the one of that slug, for which `due` (a registry session's question) finds something.

    Nothing is asked about a tenant that was named, nor where a row was chosen by its id: any of them may hold it.
    """
    known = {one.id for one in known_tenants(tenant)}
    if tenant or is_chosen:
        return sorted(known)
    with registry_session() as session:
        return sorted(known & set(due(session)))


def places_of(tenant_ids: Iterable[int], due: Callable[[Session, int], Iterable[int]]) -> tuple[Place, ...]:
    """The instruments of these tenants at which `due` finds something."""
    places: list[Place] = []
    for tenant_id in tenant_ids:
        with tenant_session(tenant_id) as session:
            places += [(tenant_id, equipment_id) for equipment_id in due(session, tenant_id)]
    return tuple(places)


def claim_at(
    most: Mapping[Place, int], claim: Callable[[Session, int, Mapping[int, int]], Iterable[Work]]
) -> list[Work]:
    """What `claim` leases, up to so many at each place, in one transaction; it is called once per tenant."""
    by_tenant: dict[int, dict[int, int]] = {}
    for (tenant_id, equipment_id), number in most.items():
        by_tenant.setdefault(tenant_id, {})[equipment_id] = number
    claimed: list[Work] = []
    with group_session() as session:
        for tenant_id, wanted in by_tenant.items():
            switch_tenant(session, tenant_id)
            claimed += claim(session, tenant_id, wanted)
    return claimed
