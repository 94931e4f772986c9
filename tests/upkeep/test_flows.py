"""The upkeep flows with a Prefect server: their states, names and tables, and that running twice changes nothing."""

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.sorting import ArtifactSort
from sqlalchemy import select, update

from deployments.simulators.mailbox import Mailbox
from flows.upkeep.deliver_messages import deliver_messages
from flows.upkeep.replay_deliveries import replay
from flows.upkeep.seal_audit import seal_audit
from models.kernel.heads import head_file
from models.kernel.settings import settings
from models.kernel.tables import AuditEvent, AuditSeal, Delivery
from models.kernel.tenancy import tenant_session
from models.kernel.verify import verify_tenant
from tasks.tally import ProblemsFound
from tasks.upkeep import deliver
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.trail import write
from tests.upkeep.helpers import deliveries, message_ids, publish_mail, states

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.xdist_group("prefect")]


@pytest.fixture(autouse=True)
def short_idle_time(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "IDLE_SECONDS", 0.2)


async def runs_named(beginning: str) -> list[str]:
    async with get_client() as client:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter())
    return [run.name for run in runs if run.name.startswith(beginning)]


async def table(key: str) -> dict[str, int]:
    """The newest table of that flow."""
    async with get_client() as client:
        found = [one for one in await client.read_artifacts(sort=ArtifactSort.CREATED_DESC) if one.key == key]
    newest = max(found, key=lambda one: str(one.created))
    return {row["what"]: row["number"] for row in json.loads(str(newest.data))}


@pytest.mark.rerun
async def test_delivering_twice_sends_once(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 3)
    first = await deliver_messages(return_state=True)
    assert (first.type, first.message) == ("COMPLETED", "sent 3")
    second = await deliver_messages(tenant="north", return_state=True)
    assert (second.type, second.message) == ("COMPLETED", "nothing to do")
    assert sorted(message_ids(mailbox).values()) == [1, 1, 1]
    assert await runs_named("deliver-messages · all · 20")
    assert await runs_named("deliver-messages · north · 20")
    assert await table("deliver-messages") == {"nothing to do": 0}


async def test_a_run_with_a_dead_letter_is_red_and_its_data_has_the_tally(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 2)
    mailbox.faults.set("refuse_recipient", 550, recipient="patient1@example.org")
    state = await deliver_messages(return_state=True)
    assert (state.type, state.message) == ("FAILED", "sent 1; dead 1")
    with pytest.raises(ProblemsFound) as found:
        await state.aresult()
    assert found.value.tally.problems == {"dead": 1}
    assert await table("deliver-messages") == {"sent": 1, "dead": 1}


async def test_replay_sends_the_chosen_one_and_names_it(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 2)
    with tenant_session(north) as session:
        session.execute(update(Delivery).values(state="dead"))
    first = deliveries(north)[0].id
    state = await replay(delivery_id=first, return_state=True)
    assert (state.type, state.message) == ("COMPLETED", f"due again 1, sent 1; delivery {first} to mail")
    assert states(north) == {"done": 1, "dead": 1}
    assert list(message_ids(mailbox)) == [f"<labwire-{north}-{first}@example.org>"]
    assert await runs_named(f"replay · all · delivery {first} · 20")
    with tenant_session(north) as session:
        [row] = session.scalars(select(AuditEvent).where(AuditEvent.action == "delivery.replay")).all()
    assert (row.actor_kind, row.actor_label) == ("flow", "replay")
    assert len(row.actor_id) == 36


async def test_a_replay_that_is_not_possible_says_why(mailbox: Mailbox) -> None:
    north = make_tenant("north")
    publish_mail(north, 1)
    only = deliveries(north)[0].id
    state = await replay(delivery_id=only, tenant="north", return_state=True)
    assert state.type == "FAILED"
    assert state.message == f"refused 1; delivery {only} is due; only a finished one can be replayed"
    state = await replay(delivery_id=999_999, return_state=True)
    assert state.message == "refused 1; no delivery 999999"
    assert mailbox.attempts == 0


@pytest.mark.rerun
async def test_sealing_twice_seals_once(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_AUDIT_HEAD_DIR", str(tmp_path))
    settings.cache_clear()
    north, south = make_tenant("north"), make_tenant("south")
    write(north, 3)
    write(south, 1)
    assert (await seal_audit(return_state=True)).message == "sealed 4, heads 2"
    heads = head_file(north).read_bytes()
    assert (await seal_audit(return_state=True)).message == "nothing to do"
    assert head_file(north).read_bytes() == heads
    with tenant_session(north) as session:
        assert len(session.scalars(select(AuditSeal)).all()) == 3
    assert verify_tenant(north).is_sound
    assert verify_tenant(south).is_sound
