"""The few rows most tests begin with."""

from models.kernel.tables import Tenant
from models.kernel.tenancy import owner_session


def make_tenant(slug: str, *, time_zone: str = "Africa/Lagos") -> int:
    """A tenant as the command line makes it; its id."""
    with owner_session() as session:
        tenant = Tenant(slug=slug, name=slug.title(), time_zone=time_zone)
        session.add(tenant)
        session.flush()
        return tenant.id
