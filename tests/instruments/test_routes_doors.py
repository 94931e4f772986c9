"""Doors that may be knocked at twice: orders under one key, many at once, and results pushed by an instrument."""

import threading
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from models.instruments.inputs import PushKeyInput
from models.instruments.stores.push_keys import issue_push_key
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tests.api.helpers import make_token, make_user, with_token
from tests.instruments.helpers import Lab
from tests.instruments.test_routes import ORDER, A, asked_for, lab, person, tech

__all__ = ["asked_for", "lab", "tech"]  # fixtures
pytestmark = pytest.mark.api


def test_the_same_key_is_one_order_and_one_answer(lab: Lab, tech: TestClient) -> None:
    first = tech.post(A, json=ORDER, headers={"Idempotency-Key": "k-1"})
    again = tech.post(A, json=dict(reversed(ORDER.items())), headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = tech.post(A, json=ORDER | {"sample_id": "S-2"}, headers={"Idempotency-Key": "k-1"})
    assert other.status_code == 409
    colleague = person(lab, "other", "technician")
    assert colleague.post(A, json=ORDER, headers={"Idempotency-Key": "k-1"}).json() != first.json()
    for key in ("", " ", "x" * 201):
        assert tech.post(A, json=ORDER, headers={"Idempotency-Key": key}).status_code == 422
    refused = tech.post(A, json=ORDER | {"test_code": "X"}, headers={"Idempotency-Key": "k-2"})
    assert refused.status_code == 422
    assert tech.post(A, json=ORDER, headers={"Idempotency-Key": "k-2"}).status_code == 201


def test_two_hundred_identical_orders_at_once_make_one(lab: Lab) -> None:
    token = make_token(lab.tenant_id, make_user(lab.tenant_id, "robot@alpha.org", "technician"))
    answers: list[tuple[int, Any]] = []
    browser = with_token(token)

    def work() -> None:
        answer = browser.post(A, json=ORDER, headers={"Idempotency-Key": "the same"})
        answers.append((answer.status_code, answer.json()))

    threads = [threading.Thread(target=work) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {201}
    assert len({str(body) for _, body in answers}) == 1
    with tenant_session(lab.tenant_id) as session:
        assert session.scalar(text("SELECT count(*) FROM assignment")) == 1
        assert session.scalar(text("SELECT count(*) FROM delivery")) == 1


def test_many_orders_are_made_or_none(lab: Lab, tech: TestClient) -> None:
    answer = tech.post(f"{A}/batch", json={"orders": [ORDER, ORDER | {"test_code": "X"}]})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "orders.1.test_code")
    answer = tech.post(f"{A}/batch", json={"orders": [ORDER] * 3})
    assert len(answer.json()["assignments"]) == 3
    assert tech.post(f"{A}/batch", json={"orders": []}).status_code == 422


def push_client(lab: Lab, equipment_id: int) -> TestClient:
    with tenant_session(lab.tenant_id) as session:
        return with_token(issue_push_key(session, lab.tenant_id, SYSTEM, equipment_id, PushKeyInput())[1])


def test_the_push_door_takes_a_finished_result_of_its_own_instrument(lab: Lab, asked_for: list[Any]) -> None:
    (one,) = lab.queued()
    instrument = push_client(lab, lab.equipment_id)
    path = f"/api/v1/instruments/{lab.equipment_id}/results"
    body = lab.body(one)
    first, again = instrument.post(path, content=body), instrument.post(path, content=body)
    assert (first.status_code, first.json()) == (202, again.json())
    assert again.status_code == 202
    assert asked_for == [("poll-results", [])]
    assert instrument.post(path, content=lab.body(one, status="queued")).status_code == 422
    assert instrument.post(path, content=b"").status_code == 422
    assert instrument.get(A).status_code == 403
    with tenant_session(lab.tenant_id) as session:
        session.execute(
            text("INSERT INTO equipment (tenant_id, name, model) VALUES (:t, 'B', '')"), {"t": lab.tenant_id}
        )
        other = session.scalar(text("SELECT max(id) FROM equipment"))
    assert instrument.post(f"/api/v1/instruments/{other}/results", content=body).status_code == 403
    assert instrument.post("/api/v1/instruments/99999/results", content=body).status_code == 404
    ordinary = with_token(make_token(lab.tenant_id, make_user(lab.tenant_id, "x@alpha.org", "technician")))
    assert ordinary.post(path, content=body).status_code == 403
