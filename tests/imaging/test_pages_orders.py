"""The pages of radiology orders: for their roles, usable, noted, and nothing done twice or over somebody's head."""

from collections.abc import Callable

import pytest

from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk, store
from tests.imaging.dicoms import ct
from tests.instruments.desk import Desk

pytestmark = pytest.mark.api
EVIL = "<script>alert('x')</script>"
ROLES = ("technician", "verifier", "doctor", "nurse", "supervisor", "administrator", "radiology_technician")
RADIOLOGY = {"doctor", "radiology_technician"}


@pytest.fixture
def doctor(clinic: Clinic) -> Desk:
    return at_desk(clinic, "doctor")


def performed(clinic: Clinic, **more: str) -> int:
    """An order with an image."""
    order_id = clinic.order(clinic.patient(), accession_number="ACC1", **more)
    store(clinic, ct(AccessionNumber="ACC1"))
    return order_id


def test_each_page_is_for_radiology_alone(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    paths = ("/radiology/orders", "/radiology/orders/rows", "/radiology/orders/new", f"/radiology/orders/{order_id}")
    for role in ROLES:
        desk = at_desk(clinic, role)
        for path in paths:
            assert (role, path, desk.get(path).status) == (role, path, 200 if role in RADIOLOGY else 403)
    tina = at_desk(clinic, "radiology_technician")
    assert tina.post(f"/radiology/orders/{order_id}/review", {"review_note": "x", "version": "1"}).status == 403


def test_nobody_sees_another_clinics_orders(clinic: Clinic, make_clinic: Callable[[str], Clinic]) -> None:
    south = make_clinic("south")
    order_id = clinic.order(clinic.patient())
    desk = at_desk(south, "doctor", "radiology_technician")
    assert desk.get(f"/radiology/orders/{order_id}").status == 404
    assert desk.post(f"/radiology/orders/{order_id}/review", {"review_note": "x", "version": "1"}).status == 404
    assert desk.get(f"/radiology/upload?radiology_order_id={order_id}").status == 404
    assert "CT of the chest" not in desk.get("/radiology/orders").source
    assert len(audited(south.tenant_id, "access.refused")) == 3


def test_the_list_is_filtered_and_its_patients_noted(clinic: Clinic, doctor: Desk) -> None:
    first, second = clinic.patient("P1"), clinic.patient("P2", family_name=EVIL)
    clinic.order(first, procedure="Wrist", accession_number="A1")
    clinic.order(second, procedure="Knee", accession_number="A2", priority="stat")
    page = doctor.get("/radiology/orders")
    assert page.source.index("Knee") < page.source.index("Wrist")
    assert EVIL not in page.source
    assert {row.resource_id for row in audited(clinic.tenant_id, "patient.read")} == {str(first), str(second)}
    assert "Knee" not in doctor.get("/radiology/orders?patient=P1").source
    assert "Wrist" not in doctor.get("/radiology/orders?accession=A2").source
    assert "Nothing fits" in doctor.get("/radiology/orders?patient=NOBODY").text
    assert "Nothing fits" in doctor.get("/radiology/orders?state=reviewed").text
    assert doctor.get("/radiology/orders?state=lost").status == 422


def test_an_open_list_is_answered_only_when_it_changed(clinic: Clinic, doctor: Desk) -> None:
    patient_id = clinic.patient()
    clinic.order(patient_id)
    rows = doctor.get("/radiology/orders/rows")
    (section,) = rows.of("section", id="orders")
    address = section.attributes["hx-get"]
    reads = len(audited(clinic.tenant_id, "patient.read"))
    assert doctor.get(address).status == 204
    assert len(audited(clinic.tenant_id, "patient.read")) == reads
    clinic.order(patient_id, procedure="Another")
    assert "Another" in doctor.get(address).source


def test_a_corrected_name_or_code_brings_a_new_list(clinic: Clinic, doctor: Desk) -> None:
    clinic.order(clinic.patient())
    for column, value in (("family_name", "Corrected"), ("given_names", "Joanna"), ("code", "P-NEW")):
        address = doctor.get("/radiology/orders").of("section", id="orders")[0].attributes["hx-get"]
        assert doctor.get(address).status == 204
        clinic.rows(f"UPDATE patient SET {column} = '{value}' RETURNING id")
        assert value in doctor.get(address).source


def test_an_examination_is_ordered_once_however_often_the_button_is_pressed(clinic: Clinic, doctor: Desk) -> None:
    patient_id = clinic.patient()
    form = doctor.get(f"/radiology/orders/new?patient_id={patient_id}")
    sent = {
        "form_key": form.value("form_key"),
        "patient_id": str(patient_id),
        "procedure": "CT of the head",
        "modality": "CT",
        "priority": "urgent",
        "reason": "Fall\nfrom a horse",
    }
    places = {doctor.post("/radiology/orders/new", sent).place for _ in range(2)}
    assert len(places) == 1
    page = doctor.get(places.pop())
    assert page.status == 200
    assert "CT of the head" in page.text
    assert "from a horse" in page.text
    assert clinic.rows("SELECT count(*) FROM radiology_order")[0][0] == 1
    other = doctor.post("/radiology/orders/new", sent | {"procedure": "Something else"})
    assert other.status == 409
    assert clinic.rows("SELECT count(*) FROM radiology_order")[0][0] == 1


def test_what_is_missing_is_said_beside_its_field_and_what_was_typed_stays(clinic: Clinic, doctor: Desk) -> None:
    page = doctor.post("/radiology/orders/new", {"procedure": "CT of the head", "modality": "ZZ"})
    assert page.status == 422
    assert page.value("procedure") == "CT of the head"
    assert "Choose a patient" in page.text
    assert "Is not a modality" in page.text
    clinic.order(clinic.patient(), accession_number="TAKEN")
    sent = {"patient_id": "1", "procedure": "CT", "modality": "CT", "accession_number": "TAKEN"}
    taken = doctor.post("/radiology/orders/new", sent)
    assert taken.status == 409
    assert "This accession number is taken" in taken.text


def test_patients_are_searched_for_in_the_body_and_noted(clinic: Clinic, doctor: Desk) -> None:
    patient_id = clinic.patient("P77", family_name="Okonkwo")
    found = doctor.post("/radiology/orders/new/patients", {"patient_text": "okon"})
    assert "P77" in found.source
    assert [row.resource_id for row in audited(clinic.tenant_id, "patient.read")] == [str(patient_id)]
    assert "Nobody fits" in doctor.post("/radiology/orders/new", {"search": "1", "patient_text": "zebra"}).text


def test_a_doctor_reviews_once_and_everybody_reads_who_and_what(clinic: Clinic, doctor: Desk) -> None:
    order_id = performed(clinic)
    address = f"/radiology/orders/{order_id}"
    page = doctor.get(address)
    note = "No nodule.\nFollow up in a year."
    assert doctor.post(f"{address}/review", {"version": page.value("version")}).status == 422
    assert doctor.post(f"{address}/review", {"version": page.value("version"), "review_note": note}).place == address
    after = at_desk(clinic, "radiology_technician").get(address)
    assert "Follow up in a year." in after.text
    assert clinic.rows("SELECT reviewed_by FROM radiology_order")[0][0] == doctor.user_id
    second = doctor.post(f"{address}/review", {"version": page.value("version"), "review_note": "Other"})
    assert second.status == 409
    assert "is reviewed already" in second.text
    assert "Other" not in clinic.rows("SELECT review_note FROM radiology_order")[0][0]


def test_a_finding_on_a_stale_page_is_not_written_and_not_lost(clinic: Clinic, doctor: Desk) -> None:
    order_id = performed(clinic)
    page = doctor.post(f"/radiology/orders/{order_id}/review", {"version": "1", "review_note": "Clear lungs"})
    assert page.status == 409
    assert "changed meanwhile" in page.text
    assert "Clear lungs" in page.of("textarea", name="review_note")[0].text
    assert clinic.rows("SELECT state FROM radiology_order")[0][0] == "performed"


def test_an_order_without_images_cannot_be_reviewed(clinic: Clinic, doctor: Desk) -> None:
    address = f"/radiology/orders/{clinic.order(clinic.patient())}"
    assert not doctor.get(address).of("textarea")
    assert doctor.post(f"{address}/review", {"version": "1", "review_note": "x"}).status == 409


def test_a_patients_page_leads_radiology_to_their_imaging(clinic: Clinic, doctor: Desk) -> None:
    order_id = performed(clinic, procedure="CT of the spleen")
    page = doctor.get("/patients/1")
    assert page.of("a", href="/radiology/orders/new?patient_id=1")
    assert page.of("a", href=f"/radiology/orders/{order_id}")
    nurse = at_desk(clinic, "nurse").get("/patients/1")
    assert "CT of the spleen" not in nurse.source
    assert not nurse.of("a", href="/radiology/orders/new?patient_id=1")
