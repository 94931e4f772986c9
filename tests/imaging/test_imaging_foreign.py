"""Another clinic's program at every door, and its ids in what our own people send: not found, and audited."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from models.people.roles import RADIOLOGY
from tests.api.helpers import PAGE, audited, make_token, make_user, signed_in, with_token
from tests.imaging.conftest import Clinic, related
from tests.imaging.dicoms import SERIES, STUDY, ct, fresh_uid, picture
from tests.imaging.imaging_world import API, World, guarded, world

pytestmark = pytest.mark.api
__all__ = ["world"]


@pytest.fixture
def south(world: World, make_clinic: Callable[[str], Clinic]) -> Clinic:
    return make_clinic("south")


def foreign_reads(clinic: Clinic) -> set[tuple[str, int]]:
    """Whose rows of other clinics this clinic's people asked for."""
    rows = audited(clinic.tenant_id, "access.refused")
    assert {row.changes["reason"] for row in rows} <= {"not of this tenant"}
    return {(row.resource_type, int(row.resource_id)) for row in rows}


def test_another_clinics_token_finds_nothing_of_ours(world: World, south: Clinic) -> None:
    user_id = make_user(south.tenant_id, "both@south.example", *RADIOLOGY)
    program = with_token(make_token(south.tenant_id, user_id))
    for route in guarded():
        if route.is_page:
            continue
        answer = route.ask(program, world.ids)
        if route.has_parameter and route.name != "store_instances_of_study":  # there a UID is theirs to choose
            assert answer.status_code == 404, f"{route}: {answer.status_code} {answer.text[:200]}"
        for ours in (STUDY, "P123", "Doe"):
            assert ours not in answer.text.replace(f"/studies/{STUDY}", ""), route
    ids = world.ids
    assert foreign_reads(south) >= {
        ("radiology_order", ids["order_id"]),
        ("radiology_study", ids["study_id"]),
        ("radiology_image", ids["image_id"]),
        ("image_upload", ids["upload_id"]),
        ("viewer_grant", ids["grant_id"]),
    }
    assert audited(world.clinic.tenant_id, "access.refused") == []  # they do not learn who asked


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_the_door_of_programs_takes_no_byte_for_another_clinics_upload(
    world: World, south: Clinic, method: str
) -> None:
    user_id = make_user(south.tenant_id, "both@south.example", *RADIOLOGY)
    program = with_token(make_token(south.tenant_id, user_id))
    address, before = f"{API}/uploads/{world.ids['upload_id']}/binary", world.clinic.spool()
    for content in (b"", ct(7)[:100], ct(7), ct(7) + b"x" * 2**21):  # the last is written piece by piece
        answer = program.request(method, address, content=content, headers={"Upload-Offset": "0"})
        assert answer.status_code == 404, answer.text
        assert "Upload-Offset" not in answer.headers
    assert [(row.resource_type, row.resource_id) for row in audited(south.tenant_id, "access.refused")] == [
        ("image_upload", str(world.ids["upload_id"]))
    ] * 4
    assert (south.spool(), south.objects()) == ([], [])
    assert world.clinic.spool() == before
    assert world.clinic.rows("SELECT state, received_bytes FROM image_upload WHERE state <> 'stored'") == [
        ("declared", 0)
    ]


def asked(asker: TestClient, path: str, body: dict[str, Any]) -> httpx.Response:
    """As JSON, or where the path is a page's or a form's, as that."""
    answer: httpx.Response
    if path == f"{API}/images":
        fields = {name: str(value) for name, value in body.items()}
        answer = asker.post(path, data=fields, files={"files": ("a.jpg", picture(), "image/jpeg")})
    elif path.startswith("/radiology"):
        form = body | {"csrf_token": asker.headers["X-CSRF-Token"]}
        answer = asker.post(path, data=form, headers=PAGE)
    else:
        answer = asker.post(path, json=body)
    return answer


def declared(**more: Any) -> dict[str, Any]:
    image = {"filename": "a.dcm", "file_size": 10, "checksum": "0" * 64, "series_uid": SERIES, "image_uid": fresh_uid()}
    return {"study_uid": fresh_uid(), "images": [image]} | more


EXAMINATION = {"procedure": "CT of the chest", "modality": "CT"}
BODIES: dict[str, tuple[str, Callable[[int, int], dict[str, Any]], str]] = {
    "an order for a patient": (f"{API}/orders", lambda _, patient: EXAMINATION | {"patient_id": patient}, "patient"),
    "an order for a patient, by its page": (
        "/radiology/orders/new", lambda _, patient: EXAMINATION | {"patient_id": str(patient)}, "patient"
    ),
    "an upload for an order": (
        f"{API}/uploads", lambda order, _: declared(radiology_order_id=order), "radiology_order"
    ),
    "a form for an order": (f"{API}/images", lambda order, _: {"radiology_order_id": order}, "radiology_order"),
    "a form for an order, with a study of one's own": (
        f"{API}/images", lambda order, _: {"radiology_order_id": order, "study_uid": STUDY}, "radiology_order"
    ),
    "a study to an order": (
        f"{API}/studies/{{study_id}}/assign", lambda order, _: {"radiology_order_id": order}, "radiology_order"
    ),
    "a study to an order, by its page": (
        "/radiology/studies/{study_id}/assign", lambda order, _: {"radiology_order_id": str(order)}, "radiology_order"
    ),
}  # fmt: skip


ASKED = [(name, by_token) for name in BODIES for by_token in (False, True) if not (by_token and "page" in name)]
"""Pages know people alone."""


@pytest.mark.parametrize(("name", "by_token"), ASKED)
def test_another_clinics_ids_in_a_body_are_not_found_and_audited(
    world: World, south: Clinic, name: str, by_token: bool
) -> None:
    [patient] = world.clinic.rows("SELECT id FROM patient WHERE code = 'P123'")
    assert south.stow(ct()).status_code == 200
    [study] = south.rows("SELECT id FROM radiology_study")
    path, body, resource = BODIES[name]
    user_id = make_user(south.tenant_id, "both@south.example", *RADIOLOGY)
    asker = with_token(make_token(south.tenant_id, user_id)) if by_token else signed_in("both@south.example")
    before = state_of(south)
    answer = asked(asker, path.format(study_id=study.id), body(world.ids["order_id"], patient.id))
    assert answer.status_code == 404, answer.text
    for ours in ("P123", "Doe", "A1"):
        assert ours not in answer.text.replace("no radiology order 1", "")
    assert foreign_reads(south) == {(resource, patient.id if resource == "patient" else world.ids["order_id"])}
    assert audited(world.clinic.tenant_id, "access.refused") == []
    assert state_of(south) == before


def state_of(clinic: Clinic) -> list[Any]:
    tables = ("radiology_order", "radiology_study", "radiology_image", "image_upload")
    return [[tuple(row) for row in clinic.rows(f"SELECT * FROM {table} ORDER BY id")] for table in tables] + [
        *(clinic.spool(), clinic.objects())
    ]


def test_another_clinics_codes_say_nothing(world: World, south: Clinic) -> None:
    """A patient's code and an accession number are texts that any clinic may use: theirs and ours never meet."""
    codes = {"study_uid": STUDY, "patient_id": "P123", "accession_number": "A1"}
    image = {"filename": "a.jpg", "file_size": 10, "checksum": "0" * 64, "mime_type": "image/jpeg"}
    by_code = south.technician.post(f"{API}/uploads", json=codes | {"images": [image]})
    assert (by_code.status_code, by_code.json()["uploads"][0]["radiology_order_id"]) == (201, None)
    body, content_type = related([ct(AccessionNumber="A1")])
    stowed = south.technician.post("/dicom-web/studies", content=body, headers={"Content-Type": content_type})
    assert stowed.status_code == 200
    assert south.rows("SELECT radiology_order_id FROM radiology_study") == [(None,)]
    assert world.clinic.rows("SELECT count(*) FROM radiology_image") == [(3,)]
    assert audited(south.tenant_id, "access.refused") == []
