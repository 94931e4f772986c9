"""Requests nobody sends by accident: each is refused in words, none is a mistake of ours (500)."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from api.middleware import Door
from api.render import environment
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from models.people.schemas import PatientIn
from models.people.stores.patients import create_patient
from tests.api.helpers import PAGE, client, make_token, make_user, signed_in, with_token

pytestmark = pytest.mark.api
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def ada(alpha: int) -> TestClient:
    make_user(alpha, "ada@alpha.org", "supervisor")
    return signed_in("ada@alpha.org")


@pytest.fixture
def patient_id(alpha: int) -> int:
    with tenant_session(alpha) as session:
        return create_patient(session, alpha, SYSTEM, PatientIn(code="P1")).id


@pytest.mark.parametrize("query", ["until=9999-12-31", "since=0001-01-01", "since=0001-01-01&until=9999-12-31"])
def test_the_audit_page_takes_the_ends_of_the_calendar(ada: TestClient, query: str) -> None:
    assert ada.get(f"/audit?{query}", headers=PAGE).status_code == 200


@pytest.mark.parametrize("address", ["http://[", "http://[::1", "http://a:b:c", "//evil.example/x", "\\\\evil"])
def test_a_page_address_of_htmx_that_is_none_leads_to_the_plain_sign_in(alpha: int, address: str) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": address}
    answer = client().get("/patients", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"].startswith("/login")
    assert "evil" not in answer.headers["hx-redirect"].partition("next=")[0]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (urlencode({"code": "\0", "merged_id": "x"}).encode(), FORM["Content-Type"]),
        (
            b'--b\r\nContent-Disposition: form-data; name="code"\r\n\r\n\\ud800\r\n--b--\r\n',
            "multipart/form-data; boundary=b; charset=unicode_escape",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="\\ud800"\r\n\r\n\\x00\r\n--b--\r\n',
            "multipart/form-data; boundary=b; charset=unicode_escape",
        ),
    ],
)
def test_a_form_with_what_no_database_keeps_is_refused(
    ada: TestClient, patient_id: int, content: bytes, kind: str
) -> None:
    for address in (f"/patients/{patient_id}/merge", "/assignments/new/patients"):
        answer = ada.post(address, content=content, headers={**PAGE, "Content-Type": kind})
        assert answer.status_code == 422, (address, answer.text)


def test_a_token_for_patients_alone_reads_no_results(alpha: int, patient_id: int) -> None:
    user_id = make_user(alpha, "tess@alpha.org", "technician")
    address = f"/api/v1/patients/{patient_id}/results"
    assert with_token(make_token(alpha, user_id, "patients:read")).get(address).status_code == 403
    assert with_token(make_token(alpha, user_id, "assignments:read")).get(address).status_code == 200
    assert with_token(make_token(alpha, user_id, "read")).get(address).status_code == 200


async def test_after_a_mistake_of_ours_nothing_more_is_asked_over_that_connection() -> None:
    """The server closes it: a client that was not told would lose its next request."""

    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "app": None,
    }
    with pytest.raises(ZeroDivisionError):
        await Door(broken)(scope, receive, send)
    assert (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("zone", ["America/New_York", "Africa/Lagos", "Asia/Tokyo"])
@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_the_ends_of_the_calendar_are_shown_in_every_zone(zone: str, moment: datetime) -> None:
    template = environment().from_string("{{ moment|when }}")
    shown = template.render(moment=moment, caller=SimpleNamespace(time_zone=zone))
    assert f'datetime="{moment.isoformat(timespec="seconds")}"' in shown
