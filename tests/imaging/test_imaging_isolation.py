"""Every route about images, asked without a token, with another clinic's, with a wrong role, by a closed address."""

import base64
import json
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from models.imaging.tickets import ViewerTicket, viewer_token
from models.kernel.tenancy import tenant_session
from models.people.roles import RADIOLOGY, ROLES, SCOPES
from tests.api.helpers import audited, client, make_token, make_user, signed_in, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.imaging_routes import imaging_routes
from tests.imaging.imaging_world import API, OTHER_STUDY, SHELL, World, answers, guarded, world

pytestmark = pytest.mark.api
__all__ = ["world"]


def test_nobody_gets_anything_without_a_token(world: World) -> None:
    assert len(guarded()) >= 30
    assert answers(client(), world, 401) == []
    assert answers(with_token("lwv_x.y"), world, 401) == []
    for token in ("lw_api_unknown", "lwv_", "lwv_.", "Zm9v"):
        assert with_token(token).get(f"{API}/images/{world.ids['image_id']}/file").status_code == 401


def test_every_other_role_is_refused_and_the_refusals_are_audited(world: World) -> None:
    others = [role for role in ROLES if role not in RADIOLOGY]
    make_user(world.clinic.tenant_id, "all@north.example", *others)
    browser = signed_in("all@north.example")
    before = len(audited(world.clinic.tenant_id, "access.refused"))
    assert answers(browser, world, 403) == []
    refused = audited(world.clinic.tenant_id, "access.refused")[before:]
    assert len(refused) == len(guarded())
    assert {row.changes["reason"] for row in refused} == {"role or scope"}


def test_a_token_without_the_scope_is_refused(world: World) -> None:
    tenant_id = world.clinic.tenant_id
    user_id = make_user(tenant_id, "program@north.example", *RADIOLOGY)
    elsewhere = [scope for scope in SCOPES if not scope.startswith("imaging:") and scope not in ("read", "write")]
    asker = with_token(make_token(tenant_id, user_id, *(scope for scope in elsewhere if scope != "results:push")))
    for route in guarded():
        if not route.is_page:
            assert route.ask(asker, world.ids).status_code == 403, route
    reader = with_token(make_token(tenant_id, user_id, "imaging:read"))
    for route in guarded():
        if not route.is_page and route.method not in ("GET", "HEAD") and route.name != "create_viewer_grant":
            assert route.ask(reader, world.ids).status_code == 403, route


def test_another_clinic_finds_nothing_of_ours(world: World, make_clinic: Callable[[str], Clinic]) -> None:
    south = make_clinic("south")
    make_user(south.tenant_id, "both@south.example", *RADIOLOGY)
    browser = signed_in("both@south.example")
    for route in guarded():
        answer = route.ask(browser, world.ids)
        if route.name == SHELL:
            continue
        if route.has_parameter and route.name != "store_instances_of_study":  # there a UID is theirs to choose
            assert answer.status_code == 404, f"{route}: {answer.status_code} {answer.text[:200]}"
        for ours in (STUDY, "P123", "Doe"):
            assert ours not in answer.text.replace(f"/studies/{STUDY}", ""), route
    refused = audited(south.tenant_id, "access.refused")
    assert {row.resource_type for row in refused} == {
        "radiology_order", "radiology_study", "radiology_image", "image_upload", "viewer_grant"
    }  # fmt: skip
    assert audited(world.clinic.tenant_id, "access.refused") == []  # they do not learn who asked


def test_two_clinics_hold_the_same_study_and_see_their_own(world: World, make_clinic: Callable[[str], Clinic]) -> None:
    south = make_clinic("south")
    south.order(south.patient(family_name="Southby"), accession_number="A1")
    theirs = ct(AccessionNumber="A1", PatientName="Southby^Ann", StudyDescription="Their chest")
    assert south.stow(theirs).status_code == 200
    for clinic, name, count in ((world.clinic, "Jo Doe", 2), (south, "Ann Southby", 1)):
        studies = clinic.doctor.get(f"{API}/studies/", params={"patient_id": "P123"}).json()
        assert [(study["study_uid"], study["patient_name"]) for study in studies] == [(STUDY, name)]
        listed = clinic.doctor.get(f"{API}/studies/{studies[0]['id']}/images/").json()
        urls = [image["image_url"] for image in listed["series"][0]["images"]]
        assert len(urls) == count
        assert clinic.doctor.get(urls[0]).content == (theirs if clinic is south else ct(1, AccessionNumber="A1"))


def test_an_expired_revoked_or_changed_viewer_token_opens_nothing(world: World) -> None:
    tenant_id = world.clinic.tenant_id
    good = with_token(world.token)
    assert good.get(f"{API}/images/{world.ids['image_id']}/file").status_code == 200
    expired = viewer_token(ViewerTicket(tenant_id, world.ids["grant_id"], int(time.time()) - 1))
    unknown = viewer_token(ViewerTicket(tenant_id, 424242, int(time.time()) + 60))
    payload, _, mac = world.token.removeprefix("lwv_").partition(".")
    later = base64.urlsafe_b64encode(json.dumps([tenant_id, world.ids["grant_id"], 2**40]).encode()).rstrip(b"=")
    forged = [f"lwv_{later.decode()}.{mac}", f"lwv_{payload}.{'A' * len(mac)}", f"lwv_{payload}", world.token + "A"]
    for token in (unknown, *forged):
        for path in (f"{API}/images/{world.ids['image_id']}/file", f"/dicom-web/studies/{STUDY}/metadata"):
            assert with_token(token).get(path).status_code == 401
    for token in (expired, forged[0]):
        assert answers(with_token(token), world, 401) == []
    revoked = world.clinic.doctor.post(f"{API}/grants/{world.ids['grant_id']}/revoke")
    assert revoked.status_code == 200, revoked.text
    assert answers(good, world, 401) == []


def test_another_studys_viewer_token_opens_nothing_of_this_one(world: World) -> None:
    asker = with_token(world.other_token)
    for route in guarded():
        answer = route.ask(asker, world.ids)
        if route.has_parameter:
            assert answer.status_code in (401, 403, 404) or (route.is_page and answer.status_code in (302, 303)), (
                f"{route}: {answer.status_code}"
            )
        for ours in (f"{SERIES}.1", "P123", "Doe^Jo", "Jo Doe"):
            assert ours not in answer.text, route


def test_a_viewer_token_reads_its_study_and_changes_nothing(world: World) -> None:
    asker = with_token(world.token)
    opened = set()
    for route in guarded():
        answer = route.ask(asker, world.ids)
        if answer.status_code < 300:
            opened.add(route.name)
            assert route.method in ("GET", "HEAD"), route
            assert OTHER_STUDY not in answer.text, route
        else:
            assert answer.status_code in (302, 303, 401, 403, 404, 406), f"{route}: {answer.status_code}"
    assert "get_image_file" in opened
    assert {"list_radiology_studies", "get_image_url", "list_study_images"}.isdisjoint(opened)  # no new addresses


def test_no_route_deletes_or_replaces_an_image() -> None:
    changing = {(route.method, route.path) for route in imaging_routes() if route.method in ("DELETE", "PUT", "PATCH")}
    assert changing == {(method, f"{API}/uploads/{{upload_id}}/binary") for method in ("PUT", "PATCH")}


def test_no_role_of_the_application_deletes_what_was_stored(clinic: Clinic) -> None:
    tables = ("radiology_order", "radiology_study", "radiology_series", "radiology_image", "image_upload")
    with tenant_session(clinic.tenant_id) as session:
        for table in (*tables, "viewer_grant"):
            for right in ("DELETE", "TRUNCATE"):
                wanted = text("SELECT has_table_privilege(current_user, :table, :right)")
                assert session.scalar(wanted, {"table": table, "right": right}) is False, (table, right)
