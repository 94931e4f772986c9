"""escalate-alerts: over all tenants, run twice, and what its final state says."""

import pytest

from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from tasks.alerts import escalate_all
from tests.alerts.conftest import Clinic
from tests.conftest import Database
from tests.factories import make_tenant


def overdue(clinic: Clinic) -> None:
    """One alert whose patient had until an hour ago to answer."""
    clinic.now = utc_now().replace(hour=0, year=2026, month=1, day=1)
    clinic.reads(heart_rate=150)


@pytest.mark.store
def test_every_tenants_alerts_go_on_and_a_second_run_has_nothing_to_do(clinic: Clinic) -> None:
    other = Clinic(make_tenant("other"))
    for one in (clinic, other):
        overdue(one)
    tally = escalate_all("", SYSTEM)
    assert tally.counts == {"alerts": 2, "steps": 4, "people told": 3}
    assert (tally.problems["nobody to tell"], clinic.told(), other.told()) == (2, ["doctor", "nurse", "emergency"], [])
    assert escalate_all("", SYSTEM).message == "nothing to do"


@pytest.mark.flow
@pytest.mark.rerun
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
async def test_the_flow_run_twice(database: Database) -> None:
    from flows.alerts.escalate_alerts import escalate_alerts

    clinic = Clinic(make_tenant("clinic"))
    clinic.contacts()
    overdue(clinic)
    state = await escalate_alerts(return_state=True)
    assert (state.type, state.message) == ("COMPLETED", "alerts 1, steps 2, people told 3")
    assert (await escalate_alerts(tenant="clinic", return_state=True)).message == "nothing to do"
    assert len(clinic.told()) == 3
