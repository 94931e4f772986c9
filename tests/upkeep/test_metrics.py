"""What monitoring reads about the backlog."""

import re

import pytest
from sqlalchemy import text, update

from models.kernel.db import engine
from models.kernel.seal import seal_tenant
from models.kernel.settings import settings
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session
from tests.api.helpers import client
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.trail import write
from tests.upkeep.helpers import publish_mail

pytestmark = pytest.mark.api


def figures() -> dict[str, float]:
    answer = client().get("/metrics")
    assert answer.status_code == 200
    lines = re.findall(r"^(labwire_(?:deliver|audit)\S*) (\S+)$", answer.text, re.M)
    return {name: float(value) for name, value in lines}


def test_the_backlog_of_all_tenants_together(database: Database) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    publish_mail(north, 4)
    publish_mail(south, 2)
    write(north, 3)
    write(south, 2)
    seal_tenant(north)
    with tenant_session(north) as session:
        session.execute(update(Delivery).where(Delivery.entity == "assignment:0").values(state="dead"))
        late = update(Delivery).where(Delivery.entity == "assignment:1")
        session.execute(late.values(next_attempt_at=text("now() - interval '90 s'")))
    found = figures()
    assert found['labwire_deliveries{state="due"}'] == 5
    assert found['labwire_deliveries{state="dead"}'] == 1
    assert found['labwire_deliveries{state="unknown"}'] == 0
    assert 89 < found["labwire_delivery_late_seconds"] < 120
    assert found["labwire_audit_unsealed"] == 2


def test_without_a_database_the_other_figures_are_there(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_DATABASE_URL", "postgresql://nobody:x@127.0.0.1:1/none")
    engine.cache_clear()
    settings.cache_clear()
    assert figures() == {}
