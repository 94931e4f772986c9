"""Whose a picture is: its order's or study's patient, and nobody else's, whatever was said of it."""

from typing import Any

import httpx
import pytest
from pydicom import dcmread

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import STUDY, ct, picture

pytestmark = pytest.mark.api
JPEG = {"mime_type": "image/jpeg", "filename": "wound.jpg"}


def form(clinic: Clinic, file: bytes, **fields: Any) -> httpx.Response:
    data = {name: str(value) for name, value in fields.items()}
    files = [("files", ("wound.jpg", file))]
    answer: httpx.Response = clinic.technician.post("/api/v1/radiology/images", data=data, files=files)
    return answer


def retry(clinic: Clinic) -> dict[str, Any]:
    """Of the one upload there is."""
    [(number,)] = clinic.rows("SELECT id FROM image_upload")
    answer: httpx.Response = clinic.technician.post(f"/api/v1/radiology/uploads/{number}/retry")
    told: dict[str, Any] = answer.json()
    return told


def test_a_picture_said_to_be_another_patients_than_its_orders_is_held(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    answer = form(clinic, picture(), radiology_order_id=order_id, patient_id="P999")
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    [held] = clinic.rows("SELECT state, rule, radiology_order_id, mime_type FROM image_upload")
    assert tuple(held) == ("held", "patient", order_id, "image/jpeg")
    assert clinic.objects() == []
    assert len(clinic.spool()) == 1
    assert retry(clinic)["rule"] == "patient"
    assert form(clinic, picture("PNG"), radiology_order_id=order_id, patient_id="P123").status_code == 200


def test_a_picture_said_to_be_another_patients_than_its_studys_is_held(clinic: Clinic) -> None:
    clinic.stow(ct())
    answer = form(clinic, picture(), study_uid=STUDY, patient_id="P999", series_description="Wound")
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    assert clinic.rows("SELECT study_uid FROM image_upload") == [(STUDY,)]
    assert retry(clinic)["rule"] == "patient"
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(1,)]


def test_declared_as_another_patients_than_the_studys_it_is_held(clinic: Clinic) -> None:
    clinic.stow(ct())
    declared = clinic.declare([picture()], study_uid=STUDY, patient_id="P999", images=[JPEG | {}])
    held = clinic.send(declared.json()["uploads"][0]["id"], picture()).json()
    assert (held["state"], held["rule"]) == ("held", "patient")
    assert clinic.rows("SELECT count(*) FROM radiology_image") == [(1,)]


def test_every_code_the_orders_patient_was_known_by_is_theirs(clinic: Clinic) -> None:
    patient_id, former = clinic.patient(), clinic.patient("P0")
    order_id = clinic.order(patient_id)
    clinic.rows("UPDATE patient SET merged_into_id = :into WHERE id = :id RETURNING 1", into=patient_id, id=former)
    assert form(clinic, picture(), radiology_order_id=order_id, patient_id="P0").status_code == 200
    assert clinic.rows("SELECT patient_code FROM radiology_study") == [("P123",)]


def test_what_a_form_said_of_a_held_file_holds_when_it_is_tried_again(clinic: Clinic) -> None:
    answer = form(clinic, ct(), patient_id="P999")
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    assert retry(clinic)["rule"] == "patient"
    assert clinic.rows("SELECT 1 FROM radiology_image") == []


def test_a_held_picture_is_stored_as_what_it_is_once_it_was_put_right(clinic: Clinic) -> None:
    clinic.stow(ct())
    patient_id = clinic.patient("P2")
    order_id = clinic.order(patient_id)
    answer = form(clinic, picture(), study_uid=STUDY, radiology_order_id=order_id, series_description="Wound")
    assert answer.json()["files"][0]["rule"] == "patient"
    clinic.rows("UPDATE patient SET code = 'P123' WHERE id = :id RETURNING 1", id=patient_id)
    assert retry(clinic)["state"] == "stored"
    assert clinic.rows("SELECT radiology_order_id, image_count FROM radiology_study") == [(order_id, 2)]
    assert ("Wound",) in clinic.rows("SELECT series_description FROM radiology_series")


def test_a_picture_for_which_neither_order_nor_study_is_named_is_refused(clinic: Clinic) -> None:
    for said in ({}, {"patient_id": "P123"}, {"accession_number": "A7"}):
        refused = form(clinic, picture(), **said)
        assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "radiology_order_id")
    assert clinic.rows("SELECT 1 FROM radiology_study UNION SELECT 1 FROM image_upload") == []
    assert clinic.objects() == clinic.spool() == []


def test_a_date_before_the_year_1000_has_eight_digits(clinic: Clinic) -> None:
    clinic.stow(ct(StudyDate="08000101"))
    assert form(clinic, picture(), study_uid=STUDY).status_code == 200
    [wrapped] = [path for path in clinic.objects() if path.name == "wound-wrapped.dcm"]
    assert dcmread(wrapped).StudyDate == "08000101"
