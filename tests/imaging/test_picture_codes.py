"""Pictures that name no order: it is found by accession number and patient, else a technician links their study."""

from typing import Any

import httpx
import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture

pytestmark = pytest.mark.api
CODES = {"accession_number": "ACC1", "patient_id": "P123"}
JPEG = {"mime_type": "image/jpeg", "filename": "wound.jpg"}
WHOSE = "SELECT radiology_order_id, patient_name, patient_code, accession_number, image_count FROM radiology_study"


def form(clinic: Clinic, file: bytes, **fields: Any) -> httpx.Response:
    answer: httpx.Response = clinic.technician.post(
        "/api/v1/radiology/images", data=fields, files=[("files", ("wound.jpg", file))]
    )
    return answer


def in_two_steps(clinic: Clinic, file: bytes, **said: Any) -> dict[str, Any]:
    declared = clinic.declare([file], images=[JPEG | {}], **said)
    assert declared.status_code == 201, declared.text
    told: dict[str, Any] = clinic.send(declared.json()["uploads"][0]["id"], file).json()
    return told


def test_by_either_door_they_go_to_the_order_of_both_codes_into_one_study(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="ACC1")
    answer = form(clinic, picture(size=40 + 1), **CODES)
    assert answer.status_code == 200, answer.text
    assert in_two_steps(clinic, picture(size=40 + 2), **CODES)["state"] == "stored"
    assert form(clinic, picture(size=40 + 3), radiology_order_id=str(order_id)).status_code == 200
    assert clinic.rows(WHOSE) == [(order_id, "Doe^Jo", "P123", "ACC1", 3)]
    assert clinic.rows("SELECT state FROM radiology_order") == [("performed",)]


def test_they_join_the_study_that_the_order_has(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="ACC1")
    clinic.stow(ct(AccessionNumber="ACC1"))
    assert form(clinic, picture(), **CODES).json()["files"][0]["study_uid"] == STUDY
    assert in_two_steps(clinic, picture(size=40 + 2), **CODES)["state"] == "stored"
    assert clinic.rows("SELECT study_uid, radiology_order_id, image_count FROM radiology_study") == [
        (STUDY, order_id, 3)
    ]


def test_a_study_that_is_named_and_not_there_yet_takes_its_patient_from_the_order_that_is_found(
    clinic: Clinic,
) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="ACC1")
    assert form(clinic, picture(), study_uid=STUDY, **CODES).status_code == 200
    assert clinic.rows(WHOSE) == [(order_id, "Doe^Jo", "P123", "ACC1", 1)]


@pytest.mark.parametrize("said", [{"patient_id": "P9"}, {"accession_number": "ACC9"}])
def test_without_such_an_order_they_are_one_study_that_a_technician_links(clinic: Clinic, said: dict[str, str]) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="ACC1")
    clinic.patient("P9")
    codes = CODES | said
    assert form(clinic, picture(size=40 + 1), **codes).status_code == 200
    assert in_two_steps(clinic, picture(size=40 + 2), **codes)["state"] == "stored"
    assert clinic.rows(WHOSE) == [(None, "", codes["patient_id"], codes["accession_number"], 2)]
    [(study_id,)] = clinic.rows("SELECT id FROM radiology_study")
    assert clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/").status_code == 404
    linked = clinic.technician.post(
        f"/api/v1/radiology/studies/{study_id}/assign", json={"radiology_order_id": order_id}
    )
    assert linked.status_code == 200, linked.text
    assert clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/").status_code == 200


def test_the_order_may_be_made_after_the_first_of_them_came(clinic: Clinic) -> None:
    assert form(clinic, picture(size=40 + 1), **CODES).status_code == 200
    assert clinic.rows(WHOSE) == [(None, "", "P123", "ACC1", 1)]
    order_id = clinic.order(clinic.patient(), accession_number="ACC1")
    assert in_two_steps(clinic, picture(size=40 + 2), **CODES)["state"] == "stored"
    assert clinic.rows("SELECT radiology_order_id, image_count FROM radiology_study") == [(order_id, 2)]


def test_codes_of_one_patient_never_put_a_picture_into_the_study_of_another(clinic: Clinic) -> None:
    clinic.order(clinic.patient("P5"), accession_number="ACC5")
    clinic.stow(ct())
    answer = form(clinic, picture(), study_uid=STUDY, patient_id="P5", accession_number="ACC5")
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    assert clinic.rows("SELECT image_uid FROM radiology_image") == [(f"{SERIES}.1",)]


def test_one_code_alone_names_nothing(clinic: Clinic) -> None:
    for name in CODES:
        declared = clinic.declare([picture()], images=[JPEG | {}], **{name: CODES[name]})
        assert (declared.status_code, "accession_number" in declared.text) == (422, True)
    assert clinic.rows("SELECT 1 FROM image_upload") == []
