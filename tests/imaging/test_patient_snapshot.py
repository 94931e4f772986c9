"""Whose a study is said to be: what its first image says, whatever its order says or comes to say."""

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture

pytestmark = pytest.mark.api
API = "/api/v1/radiology"
PATIENT = {"family_name": "Roe", "given_names": "Al"}
"""Of the orders; the files say Jo Doe."""


def snapshot(clinic: Clinic) -> tuple[str, ...]:
    [row] = clinic.rows("SELECT patient_name, patient_code, patient_birth_date, patient_sex FROM radiology_study")
    return tuple(row)


def test_the_patient_of_a_study_is_what_its_first_image_says_and_stays_so(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(**PATIENT), accession_number="A1")
    assert clinic.stow(ct(1), ct(2, PatientName="Poe^Ed", PatientSex="M")).status_code == 200
    assert snapshot(clinic) == ("Doe^Jo", "P123", "19800131", "F")
    given = {"radiology_order_id": order_id}
    [study] = clinic.rows("SELECT id FROM radiology_study")
    assigned = clinic.technician.post(f"{API}/studies/{study.id}/assign", json=given)
    assert (assigned.status_code, assigned.json()["patient_name"]) == (200, "Jo Doe")
    assert clinic.stow(ct(3, PatientName="Poe^Ed", AccessionNumber="A1")).status_code == 200
    assert snapshot(clinic) == ("Doe^Jo", "P123", "19800131", "F")


@pytest.mark.parametrize(("name", "expected"), [("Doe^Jo", "Doe^Jo"), ("", "Roe^Al")])
def test_a_name_that_the_file_leaves_out_is_the_orders(clinic: Clinic, name: str, expected: str) -> None:
    clinic.order(clinic.patient(**PATIENT), accession_number="A1")
    file = ct(AccessionNumber="A1", PatientName=name, PatientBirthDate="", PatientSex="")
    assert clinic.stow(file).status_code == 200
    assert snapshot(clinic) == (expected, "P123", "", "")


def test_a_picture_has_its_patient_from_its_order(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(**PATIENT))
    files = {"files": ("wound.jpg", picture(), "image/jpeg")}
    data = {"radiology_order_id": str(order_id)}
    assert clinic.technician.post(f"{API}/images", data=data, files=files).status_code == 200
    assert snapshot(clinic) == ("Roe^Al", "P123", "", "F")
