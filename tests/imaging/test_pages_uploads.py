"""The pages of uploads: what is held says why, is tried again or discarded with a note."""

from collections.abc import Callable

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk
from tests.imaging.dicoms import ct
from tests.instruments.desk import Desk

pytestmark = pytest.mark.api
STUDY = "1.2.3.4"


@pytest.fixture
def technician(clinic: Clinic) -> Desk:
    return at_desk(clinic, "radiology_technician")


def declared(clinic: Clinic, file: bytes, number: int, **more: object) -> int:
    image = {"series_uid": f"{STUDY}.1", "image_uid": f"{STUDY}.1.{number}", "filename": f"IM{number}.dcm"}
    answer = clinic.declare([file], study_uid=STUDY, images=[image], **more)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["uploads"][0]["id"])


def held(clinic: Clinic) -> int:
    """A file of another patient than the order's."""
    file = ct(1, study_uid=STUDY, series_uid=f"{STUDY}.1", PatientID="P999")
    number = declared(clinic, file, 1, radiology_order_id=clinic.order(clinic.patient()))
    assert clinic.send(number, file).json()["state"] == "held"
    return number


def state_of(clinic: Clinic, number: int) -> str:
    return str(clinic.rows("SELECT state FROM image_upload WHERE id = :i", i=number)[0][0])


def test_the_pages_are_for_radiology_technicians_alone(clinic: Clinic) -> None:
    number = held(clinic)
    for role in ("technician", "verifier", "doctor", "nurse", "supervisor", "administrator", "radiology_technician"):
        desk, wanted = at_desk(clinic, role), 200 if role == "radiology_technician" else 403
        for path in ("/radiology/upload", "/radiology/upload?radiology_order_id=1", "/radiology/uploads"):
            assert (role, path, desk.get(path).status) == (role, path, wanted)
        if wanted == 403:
            assert desk.post(f"/radiology/uploads/{number}/retry").status == 403
            assert desk.post(f"/radiology/uploads/{number}/discard", {"note": "x"}).status == 403


def test_nobody_reaches_another_clinics_uploads(clinic: Clinic, make_clinic: Callable[[str], Clinic]) -> None:
    number = held(clinic)
    desk = at_desk(make_clinic("south"), "radiology_technician")
    assert "IM1.dcm" not in desk.get("/radiology/uploads?state=held").source
    assert desk.post(f"/radiology/uploads/{number}/retry").status == 404
    assert desk.post(f"/radiology/uploads/{number}/discard", {"note": "x"}).status == 404
    assert state_of(clinic, number) == "held"


def test_each_upload_stands_under_its_state(clinic: Clinic, technician: Desk) -> None:
    held(clinic)
    file = ct(2, study_uid=STUDY, series_uid=f"{STUDY}.1", PatientID="P5")
    number = declared(clinic, file, 2)
    clinic.send(number, file[: len(file) // 2])
    waiting = technician.get("/radiology/uploads")
    assert "IM2.dcm" in waiting.text
    assert "IM1.dcm" not in waiting.text
    assert "49 %" in waiting.text or "50 %" in waiting.text
    page = technician.get("/radiology/uploads?state=held")
    assert "The patient in the file is not the order's" in page.text
    clinic.send(number, file[len(file) // 2 :], len(file) // 2)
    assert "IM2.dcm" in technician.get("/radiology/uploads?state=stored").text
    assert technician.get("/radiology/uploads?state=lost").status == 422


def test_what_was_put_right_is_stored_when_it_is_tried_again(clinic: Clinic, technician: Desk) -> None:
    number = held(clinic)
    assert technician.post(f"/radiology/uploads/{number}/retry").status == 303
    assert state_of(clinic, number) == "held"
    clinic.rows("UPDATE patient SET code = 'P999' RETURNING id")
    assert technician.post(f"/radiology/uploads/{number}/retry").place == "/radiology/uploads?state=held"
    assert state_of(clinic, number) == "stored"
    assert technician.post(f"/radiology/uploads/{number}/retry").status == 303  # pressed twice
    other = technician.post(f"/radiology/uploads/{declared(clinic, ct(7), 7)}/retry")
    assert other.status == 409
    assert "is declared" in other.text


def test_an_upload_is_discarded_with_a_note_and_its_bytes_go(clinic: Clinic, technician: Desk) -> None:
    number = held(clinic)
    empty = technician.post(f"/radiology/uploads/{number}/discard", {"note": " ", "state": "held"})
    assert empty.status == 422
    assert empty.of("input", id=f"discard-{number}-note", aria_invalid="true")
    assert len(clinic.spool()) == 1
    answer = technician.post(f"/radiology/uploads/{number}/discard", {"note": "Wrong <i>patient</i>", "state": "held"})
    assert answer.place == "/radiology/uploads?state=held"
    assert clinic.spool() == []
    assert "Wrong <i>patient</i>" in technician.get("/radiology/uploads?state=discarded").text
    assert technician.post(f"/radiology/uploads/{number}/discard", {"note": "again"}).status == 409


def test_the_upload_page_names_the_order_and_warns_of_a_reviewed_one(clinic: Clinic, technician: Desk) -> None:
    order_id = clinic.order(clinic.patient(family_name="Okonkwo"))
    address = f"/radiology/upload?radiology_order_id={order_id}"
    page = technician.get(address)
    assert "Okonkwo" in page.text
    assert page.of("div", id="upload", data_order_id=str(order_id))
    assert "reviewed already" not in page.text
    query = "UPDATE radiology_order SET state = 'reviewed', performed_at = now(), reviewed_at = now() RETURNING id"
    clinic.rows(query)
    assert "This order is reviewed already" in technician.get(address).text
    assert technician.get("/radiology/upload?radiology_order_id=999").status == 404
