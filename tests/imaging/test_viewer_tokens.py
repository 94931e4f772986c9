"""A viewer's address opens one study for its user, as long as they may see it; it is counted, audited and revoked."""

import logging
import time
from typing import Any

import pytest
from fastapi import Request
from sqlalchemy import text
from starlette.testclient import TestClient

from api.app import without_secrets
from api.imaging import viewing
from api.imaging.usage import SAME_OPENING_SECONDS, WRITTEN_EVERY_SECONDS, Usage
from api.imaging.viewing import view_of_token
from models.imaging.tickets import (
    FileTicket,
    ViewerTicket,
    file_token,
    has_expired,
    read_file_token,
    read_viewer_token,
    viewer_token,
)
from models.kernel.errors import ForbiddenError, UnauthenticatedError
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from tests.api.helpers import audited, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import STUDY, ct

pytestmark = pytest.mark.api
API = "/api/v1/radiology"


@pytest.fixture
def study_id(clinic: Clinic) -> int:
    """A study that doctors see."""
    clinic.order(clinic.patient(), accession_number="A1")
    assert clinic.stow(ct(AccessionNumber="A1")).status_code == 200
    return int(clinic.rows("SELECT id FROM radiology_study")[0].id)


def granted(by: TestClient, study_id: int) -> tuple[int, TestClient]:
    """A grant's number, and a viewer with its token."""
    answer = by.post(f"{API}/studies/{study_id}/grants", json={"expires_in": 300})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["study_uid"], made["expires_in"]) == (STUDY, 300)
    return made["grant_id"], with_token(made["viewer_url"].partition("token=")[2].partition("&")[0])


def look(viewer: TestClient, clinic: Clinic) -> int:
    """The status of its study's image."""
    [image] = clinic.rows("SELECT id FROM radiology_image")
    return int(viewer.get(f"{API}/images/{image.id}/file").status_code)


def asking(method: str = "GET") -> Request:
    return Request({"type": "http", "method": method, "path": "/", "headers": [], "client": ("10.0.0.9", 1)})


def token_of(viewer: TestClient) -> str:
    return str(viewer.headers["Authorization"]).removeprefix("Bearer ")


@pytest.mark.parametrize(
    "change",
    ["is_active = false", "roles = ARRAY['nurse']", "roles = ARRAY['administrator', 'supervisor']"],
)
def test_it_ends_with_its_users_rights(clinic: Clinic, study_id: int, change: str) -> None:
    grant_id, viewer = granted(clinic.doctor, study_id)
    assert look(viewer, clinic) == 200
    with owner_session() as session:
        session.execute(
            text(f"UPDATE app_user SET {change} WHERE id = :id"), {"id": int(clinic.doctor.headers["X-Test-User"])}
        )
    assert [look(viewer, clinic) for _ in range(3)] == [401, 401, 401]
    [refused] = audited(clinic.tenant_id, "access.refused")  # once, not with every image
    assert (refused.resource_type, refused.resource_id) == ("viewer_grant", str(grant_id))


def test_it_ends_with_its_tenant(clinic: Clinic, study_id: int) -> None:
    _, viewer = granted(clinic.doctor, study_id)
    with owner_session() as session:
        session.execute(text("UPDATE tenant SET is_active = false"))
    assert look(viewer, clinic) == 401


def test_a_doctors_address_needs_an_order_as_the_doctor_does(clinic: Clinic, study_id: int) -> None:
    _, of_doctor = granted(clinic.doctor, study_id)
    _, of_technician = granted(clinic.technician, study_id)
    with owner_session() as session:
        session.execute(text("UPDATE radiology_study SET radiology_order_id = NULL"))
    assert (look(of_doctor, clinic), look(of_technician, clinic)) == (401, 200)


def test_it_is_revoked_by_its_user_or_a_technician_and_by_nobody_else(clinic: Clinic, study_id: int) -> None:
    first, viewer = granted(clinic.doctor, study_id)
    colleague = clinic.person("doctor")
    assert colleague.post(f"{API}/grants/{first}/revoke").status_code == 404
    assert look(viewer, clinic) == 200
    answer = clinic.technician.post(f"{API}/grants/{first}/revoke")
    assert answer.status_code == 200
    assert answer.json()["revoked_by"] == int(clinic.technician.headers["X-Test-User"])
    assert look(viewer, clinic) == 401
    second, viewer = granted(clinic.doctor, study_id)
    assert clinic.doctor.post(f"{API}/grants/{second}/revoke").status_code == 200
    assert clinic.doctor.post(f"{API}/grants/{second}/revoke").status_code == 200  # again is no error
    assert look(viewer, clinic) == 401
    assert [row.resource_id for row in audited(clinic.tenant_id, "viewer.revoke")] == [str(first), str(second)]
    assert clinic.doctor.post(f"{API}/grants/424242/revoke").status_code == 404


def test_who_was_given_an_address_is_listed_to_technicians_and_ones_own_to_oneself(
    clinic: Clinic, study_id: int
) -> None:
    first, _ = granted(clinic.doctor, study_id)
    second, _ = granted(clinic.technician, study_id)
    address = f"{API}/studies/{study_id}/grants"
    assert [grant["id"] for grant in clinic.technician.get(address).json()] == [second, first]
    assert [grant["id"] for grant in clinic.doctor.get(address).json()] == [first]
    assert "token" not in clinic.technician.get(address).text
    rows = audited(clinic.tenant_id, "viewer.grant")
    assert [row.changes["user"] for row in rows] == [
        int(person.headers["X-Test-User"]) for person in (clinic.doctor, clinic.technician)
    ]


def test_its_use_is_counted_and_the_reading_noted_once(clinic: Clinic, study_id: int) -> None:
    grant_id, viewer = granted(clinic.doctor, study_id)
    before = len(audited(clinic.tenant_id, "patient.read"))
    for _ in range(5):
        assert look(viewer, clinic) == 200
    [grant] = clinic.rows("SELECT * FROM viewer_grant")
    assert (grant.requests, grant.openings) == (1, 0)  # the rest is not written yet
    [listed] = clinic.technician.get(f"{API}/studies/{study_id}/grants").json()
    assert (listed["requests"], listed["openings"]) == (5, 0)
    assert listed["last_used_at"] is not None
    [read] = audited(clinic.tenant_id, "patient.read")[before:]
    assert (read.actor_id, read.session_id) == (clinic.doctor.headers["X-Test-User"], f"viewer:{grant_id}")


def test_opening_it_is_counted_and_noted_each_time(clinic: Clinic, study_id: int) -> None:
    _, viewer = granted(clinic.doctor, study_id)
    before = len(audited(clinic.tenant_id, "patient.read"))
    for _ in range(3):  # within seconds: one opening
        view = view_of_token(asking(), token_of(viewer), is_opening=True)
    assert (view.seen.study_uid, view.seen.sees_unassigned) == (STUDY, False)
    viewing.usage = Usage()  # another process, or later
    view_of_token(asking(), token_of(viewer), is_opening=True)
    [grant] = clinic.rows("SELECT * FROM viewer_grant")
    assert grant.openings == 2
    assert len(audited(clinic.tenant_id, "patient.read")) == before + 2


def test_a_busy_row_is_counted_with_the_next_request(clinic: Clinic, study_id: int) -> None:
    grant_id, viewer = granted(clinic.doctor, study_id)
    with owner_session() as session:
        session.execute(text("SELECT * FROM viewer_grant WHERE id = :id FOR UPDATE"), {"id": grant_id})
        assert look(viewer, clinic) == 200  # and does not wait
    [listed] = clinic.technician.get(f"{API}/studies/{study_id}/grants").json()
    assert listed["requests"] == 1


def test_it_is_for_reading(clinic: Clinic, study_id: int) -> None:
    _, viewer = granted(clinic.doctor, study_id)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(ForbiddenError):
            view_of_token(asking(method), token_of(viewer))
    with pytest.raises(UnauthenticatedError):
        view_of_token(asking(), "lwv_nonsense")


def test_switching_signed_addresses_off_closes_those_that_are_out(
    clinic: Clinic, study_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, viewer = granted(clinic.doctor, study_id)
    monkeypatch.setenv("LABWIRE_RADIOLOGY_SIGNED_URLS", "false")
    settings.cache_clear()
    assert look(viewer, clinic) == 401


def test_no_address_with_its_token_ends_in_the_servers_log(clinic: Clinic, study_id: int) -> None:
    [image] = clinic.doctor.get(f"{API}/studies/{study_id}/images/").json()["series"][0]["images"]
    viewer = clinic.doctor.get(f"{API}/studies/{study_id}/viewer-url/").json()["viewer_url"]
    for address in (image["image_url"], viewer, f"/radiology/view/{STUDY}?token=lwv_a.b"):
        token = address.partition("token=")[2].partition("&")[0]
        line = logging.LogRecord("uvicorn.access", 20, "", 0, '"%s" %d', (f"GET {address} HTTP/1.1", 200), None)
        assert without_secrets(line)
        assert token
        assert token not in line.getMessage()


def test_tickets_of_one_purpose_or_key_are_none_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_SECRET_KEY", bytes(range(32)).hex())
    settings.cache_clear()
    ticket = ViewerTicket(1, 2, 3)
    token = viewer_token(ticket)
    assert read_viewer_token(token) == ticket
    assert has_expired(ticket)
    assert not has_expired(ViewerTicket(1, 2, int(time.time()) + 60))
    assert read_file_token(token.removeprefix("lwv_")) is None
    of_file = file_token(FileTicket(1, 2, 3, 4))
    assert read_file_token(of_file) == FileTicket(1, 2, 3, 4)
    assert read_viewer_token(f"lwv_{of_file}") is None
    wrong: list[Any] = ["", ".", "a.b", of_file[:-1], of_file + "=", of_file * 9, "ä.b", of_file.swapcase()]
    assert [read_file_token(one) for one in wrong] == [None] * len(wrong)
    monkeypatch.setenv("LABWIRE_SECRET_KEY", bytes(range(1, 33)).hex())
    settings.cache_clear()
    assert read_viewer_token(token) is None
    settings.cache_clear()


def test_uses_are_written_every_few_seconds_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    usage, key = Usage(), (1, 2)
    written = []
    for step in range(100):
        now = 1000.0 + step * 0.5
        if (due := usage.note(key, is_opening=step % 10 == 0)) is not None:
            written.append(due)
    rest = usage.take(key)
    assert rest is not None
    assert sum(due.requests for due in (*written, rest)) == 100
    assert len(written) <= 50 / WRITTEN_EVERY_SECONDS + 50 / SAME_OPENING_SECONDS
    assert sum(due.openings for due in written) == 50 / SAME_OPENING_SECONDS
    assert [due.is_first for due in written] == [True] + [False] * (len(written) - 1)
    usage.give_back(key, rest)
    assert usage.take(key) == rest
