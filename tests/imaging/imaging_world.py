"""A clinic in use, and every guarded route of images: what strangers of several kinds are asked to try."""

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.imaging_routes import Route, imaging_routes

API = "/api/v1/radiology"
OPEN = {"viewer_root", "viewer_file"}
"""OHIF's own files: a published program, which holds nothing of anybody."""
SHELL = "light_viewer"
"""A page that holds nothing of anybody; its script asks DICOMweb."""
OTHER_STUDY, OTHER_SERIES = "1.2.826.0.1.3680043.8.498.2", "1.2.826.0.1.3680043.8.498.2.1"


@dataclass
class World:
    """A clinic with a study that the doctor was given an address of, another study, and an upload on its way."""

    clinic: Clinic
    ids: dict[str, Any]
    token: str
    other_token: str


@pytest.fixture
def world(clinic: Clinic) -> World:
    """As said."""
    clinic.order(clinic.patient("FILLER"))
    order_id = clinic.order(clinic.patient(), accession_number="A1")
    other_id = clinic.order(clinic.patient("P9"), accession_number="A2")
    other = ct(
        study_uid=OTHER_STUDY, series_uid=OTHER_SERIES, PatientID="P9", PatientName="Roe^Al", AccessionNumber="A2"
    )
    assert clinic.stow(ct(AccessionNumber="A1"), ct(2, AccessionNumber="A1")).status_code == 200
    assert clinic.stow(other).status_code == 200
    waiting = ct(7)
    images = [{"image_uid": f"{SERIES}.7", "series_uid": SERIES}]
    declared = clinic.declare([waiting], study_uid=STUDY, radiology_order_id=order_id, images=images)
    assert declared.status_code == 201, declared.text
    [study] = clinic.rows("SELECT id FROM radiology_study WHERE study_uid = :uid", uid=STUDY)
    [image] = clinic.rows("SELECT id FROM radiology_image WHERE image_uid = :uid", uid=f"{SERIES}.1")
    made = clinic.doctor.post(f"{API}/studies/{study.id}/grants", json={}).json()
    [other_study] = clinic.rows("SELECT id FROM radiology_study WHERE study_uid = :uid", uid=OTHER_STUDY)
    other_made = clinic.doctor.post(f"{API}/studies/{other_study.id}/grants", json={}).json()
    ids = {
        "order_id": order_id,
        "radiology_order_id": order_id,
        "study_id": study.id,
        "image_id": image.id,
        "grant_id": made["grant_id"],
        "upload_id": declared.json()["uploads"][0]["id"],
        "study_uid": STUDY,
        "series_uid": SERIES,
        "image_uid": f"{SERIES}.1",
        "other_order_id": other_id,
    }
    return World(clinic, ids, token_of(made["viewer_url"]), token_of(other_made["viewer_url"]))


def token_of(viewer_url: str) -> str:
    return viewer_url.partition("token=")[2].partition("&")[0]


def guarded() -> list[Route]:
    return [route for route in imaging_routes() if route.name not in OPEN]


def answers(asker: TestClient, world: World, *expected: int, but: tuple[str, ...] = ()) -> list[str]:
    """Every route that answers otherwise than expected."""
    wrong = []
    for route in guarded():
        if route.name in but:
            continue
        answer = route.ask(asker, world.ids)
        is_sign_in = route.is_page and 401 in expected and answer.status_code in (302, 303)
        if answer.status_code not in expected and not is_sign_in:
            wrong.append(f"{route}: {answer.status_code} {answer.text[:200]}")
    return wrong
