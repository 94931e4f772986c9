"""The outbox and the audit trail, on pages and in the JSON API."""

import re

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from models.kernel import outbox
from models.kernel.outbox import Event, Route
from models.kernel.seal import seal_tenant
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session
from tests.api.helpers import PAGE, audited, make_user, signed_in
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.trail import as_superuser
from tests.upkeep.helpers import deliveries, publish_mail, states

pytestmark = pytest.mark.api


@pytest.fixture
def north(database: Database) -> int:
    tenant = make_tenant("north")
    make_user(tenant, "boss@north.org", "supervisor")
    make_user(tenant, "admin@north.org", "administrator")
    make_user(tenant, "tech@north.org", "technician")
    return tenant


@pytest.fixture
def boss(north: int) -> TestClient:
    return signed_in("boss@north.org")


def kill(tenant_id: int, state: str = "dead", *, entity: str = "") -> None:
    """Deliveries that came to an end."""
    with tenant_session(tenant_id) as session:
        ended = update(Delivery).values(state=state, last_answer="550 5.1.1 recipient refused", attempts=8)
        session.execute(ended.where(Delivery.entity.startswith(entity)))


class TestDeliveries:
    def test_they_are_listed_by_state_destination_and_entity_without_what_they_carry(
        self, north: int, boss: TestClient
    ) -> None:
        publish_mail(north, 12)
        kill(north, entity="assignment:1")
        answer = boss.get("/api/v1/deliveries", params={"state": ["dead", "unknown"], "size": 2}).json()
        assert answer["counts"] == {"dead": 3, "unknown": 0, "due": 9, "leased": 0, "done": 0, "skipped": 0}
        assert (answer["total"], len(answer["items"])) == (3, 2)
        assert answer["items"][0]["entity"] == "assignment:11"
        assert "example.org" not in str(answer)
        assert boss.get("/api/v1/deliveries", params={"entity": "assignment:5"}).json()["total"] == 1
        assert boss.get("/api/v1/deliveries", params={"destination": "instrument:"}).json()["total"] == 0
        assert boss.get("/api/v1/deliveries", params={"state": "lost"}).status_code == 422

    def test_replay_and_skip_with_their_audit_rows(self, north: int, boss: TestClient) -> None:
        publish_mail(north, 2)
        kill(north)
        first, second = (delivery.id for delivery in deliveries(north))
        assert boss.post(f"/api/v1/deliveries/{first}/replay").json()["state"] == "due"
        assert boss.post(f"/api/v1/deliveries/{first}/replay").status_code == 409
        assert boss.post(f"/api/v1/deliveries/{second}/skip", json={"reason": " "}).status_code == 422
        skipped = boss.post(f"/api/v1/deliveries/{second}/skip", json={"reason": "wrong address"}).json()
        assert (skipped["state"], skipped["last_answer"]) == ("skipped", "skipped: wrong address")
        [replayed] = audited(north, "delivery.replay")
        assert (replayed.actor_label, replayed.resource_id) == ("boss@north.org", str(first))
        assert replayed.changes["state"] == ["dead", "due"]
        assert audited(north, "delivery.skip")[0].changes["reason"] == "wrong address"

    def test_several_at_once_each_for_itself(self, north: int, boss: TestClient) -> None:
        publish_mail(north, 3)
        kill(north, entity="assignment:1")
        kill(north, entity="assignment:2")
        ids = [delivery.id for delivery in deliveries(north)]
        answer = boss.post("/api/v1/deliveries/replay", json={"ids": [*ids, 999_999]}).json()
        assert answer["replayed"] == 2
        assert answer["refusals"] == [
            f"delivery {ids[0]} is due; only a finished one can be replayed",
            "no delivery 999999",
        ]

    def test_another_tenants_delivery_is_not_there_and_asking_is_audited(self, north: int, boss: TestClient) -> None:
        south = make_tenant("south")
        publish_mail(south, 1)
        kill(south)
        [foreign] = deliveries(south)
        for call in ("replay", "skip"):
            body = {"reason": "x"} if call == "skip" else None
            assert boss.post(f"/api/v1/deliveries/{foreign.id}/{call}", json=body).status_code == 404
        assert boss.get(f"/api/v1/deliveries/{foreign.id}").status_code == 404
        assert len(audited(north, "access.refused")) == 3
        assert states(south) == {"dead": 1}

    def test_only_supervisors_and_administrators(self, north: int) -> None:
        technician = signed_in("tech@north.org")
        for address in ("/api/v1/deliveries", "/api/v1/audit-events", "/outbox", "/audit"):
            assert technician.get(address).status_code == 403
            assert signed_in("admin@north.org").get(address).status_code == 200


class TestOutboxPage:
    def test_what_needs_a_person_is_shown_first_and_sent_again_together(self, north: int, boss: TestClient) -> None:
        publish_mail(north, 3)
        kill(north, entity="assignment:0")
        kill(north, "unknown", entity="assignment:1")
        shown = boss.get("/outbox", headers=PAGE).text
        assert "dead letter" in shown
        assert "outcome unknown" in shown
        assert "example.org" not in shown
        ids = re.findall(r'name="id" value="(\d+)"', shown)
        assert len(ids) == 2
        answer = boss.post("/outbox/replay", data={"id": ids, "back": "https://evil.org/outbox"}, headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/outbox")
        assert "2 deliveries are due again." in boss.get("/outbox", headers=PAGE).text
        assert states(north) == {"due": 3}

    def test_giving_up_needs_a_reason_and_lets_the_next_one_go(self, north: int, boss: TestClient) -> None:
        publish_mail(north, 2, entity="assignment:7")
        first = deliveries(north)[0]
        with tenant_session(north) as session:
            session.execute(update(Delivery).where(Delivery.id == first.id).values(state="dead"))
            assert outbox.claim(session, north, "mail", owner="run") == []
        boss.post(f"/outbox/{first.id}/skip", data={"reason": " "}, headers=PAGE)
        assert "A reason is needed" in boss.get("/outbox", headers=PAGE).text
        boss.post(f"/outbox/{first.id}/skip", data={"reason": "the patient moved"}, headers=PAGE)
        with tenant_session(north) as session:
            assert len(outbox.claim(session, north, "mail", owner="run")) == 1
        assert "the patient moved" in boss.get("/outbox?which=skipped", headers=PAGE).text

    def test_nothing_chosen_and_things_that_moved_on_are_said(self, north: int, boss: TestClient) -> None:
        publish_mail(north, 1)
        boss.post("/outbox/replay", data={"id": ["x"]}, headers=PAGE)
        assert "No delivery was chosen" in boss.get("/outbox", headers=PAGE).text
        boss.post("/outbox/replay", data={"id": [str(deliveries(north)[0].id)]}, headers=PAGE)
        assert "only a finished one can be replayed" in boss.get("/outbox", headers=PAGE).text

    def test_an_instruments_submission_takes_its_assignment_along(self, north: int, boss: TestClient) -> None:
        """An event whose assignment is not there any more is refused, and nothing changes."""
        with tenant_session(north) as session:
            event = Event("assignment.ordered", "assignment:5", {"request_id": "REQ-5"}, [Route("instrument:1")])
            outbox.publish(session, north, event)
        kill(north)
        answer = boss.post(f"/api/v1/deliveries/{deliveries(north)[0].id}/replay")
        assert answer.status_code == 404
        assert states(north) == {"dead": 1}
        assert audited(north, "delivery.replay") == []


class TestAuditPage:
    def test_rows_are_found_and_say_whether_they_are_sealed_and_genuine(
        self, north: int, boss: TestClient, database: Database
    ) -> None:
        publish_mail(north, 1)
        kill(north)
        boss.post(f"/api/v1/deliveries/{deliveries(north)[0].id}/replay")
        found = boss.get("/api/v1/audit-events", params={"action": "delivery."}).json()["items"]
        assert [(row["action"], row["position"], row["is_genuine"]) for row in found] == [
            ("delivery.replay", None, True)
        ]
        seal_tenant(north)
        shown = boss.get("/audit?action=delivery.", headers=PAGE).text
        assert re.search(r"sealed \d+", shown)
        assert "not genuine" not in shown
        with as_superuser(database) as execute:
            execute("UPDATE audit_event SET actor_label = 'Nobody' WHERE action = 'delivery.replay'")
        shown = boss.get("/audit?action=delivery.", headers=PAGE).text
        assert "not genuine" in shown
        assert "1 of these rows is not as written" in shown

    def test_searching_is_audited_and_pages_go_on(self, north: int, boss: TestClient) -> None:
        for _ in range(4):
            boss.get("/api/v1/audit-events", params={"resource_type": "audit_event"})
        first = boss.get("/api/v1/audit-events", params={"action": "audit.read", "size": 3}).json()
        rest = boss.get(
            "/api/v1/audit-events", params={"action": "audit.read", "before_id": first["next_before_id"]}
        ).json()
        assert (len(first["items"]), len(rest["items"]), rest["next_before_id"]) == (3, 1, None)
        assert first["items"][0]["changes"] == {"wanted": {"resource_type": "audit_event"}}

    def test_an_administrator_sees_deeds_but_not_what_they_say_of_patients(self, north: int, boss: TestClient) -> None:
        made = boss.post("/api/v1/patients", json={"code": "P1", "family_name": "Quixote", "given_names": "Alonso"})
        assert made.status_code == 201, made.text
        admin = signed_in("admin@north.org")
        wanted = {"resource_type": "patient"}
        rows = admin.get("/api/v1/audit-events", params=wanted).json()["items"]
        assert rows
        assert {row["changes"] for row in rows} == {None}
        assert "Quixote" not in admin.get("/audit?resource_type=patient", headers=PAGE).text
        assert boss.get("/api/v1/audit-events", params=wanted).json()["items"][-1]["changes"] is not None

    def test_days_are_those_of_the_laboratory(self, north: int, boss: TestClient) -> None:
        assert boss.get("/audit?since=2026-01-01&until=2099-01-01", headers=PAGE).status_code == 200
        assert "No such rows" in boss.get("/audit?until=2020-01-01", headers=PAGE).text
        answer = boss.get("/audit?since=yesterday", headers=PAGE)
        assert answer.status_code == 422
        assert "look like 2026-11-20" in answer.text
