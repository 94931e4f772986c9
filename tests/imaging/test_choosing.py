"""An order is for the patient whom the text beside it is about: by pages without scripts, and by whatever is sent."""

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk
from tests.instruments.desk import Page

pytestmark = pytest.mark.api
ORDER = {"procedure": "CT of the head", "modality": "CT"}


def ticked(page: Page) -> list[str]:
    return [one.attributes["value"] for one in page.of("input", name="patient_id") if "checked" in one.attributes]


@pytest.mark.parametrize("address", ["/radiology/orders/new", "/assignments/new"])
def test_a_patient_whom_the_text_does_not_fit_is_refused_and_not_ticked_again(clinic: Clinic, address: str) -> None:
    jonas, berta = clinic.patient("P1", given_names="Jonas"), clinic.patient("P2", given_names="Berta")
    desk = at_desk(clinic, "doctor", "technician")
    form = ORDER | {"patient_text": "berta", "patient_id": str(jonas), "what": "test:X", "sample_id": "S1"}
    page = desk.post(address, form)
    assert page.status == 422
    assert "choose the patient again" in page.text
    assert ticked(page) == [str(berta)]  # she alone fits what is written
    assert f"patient-{jonas}" not in page.source
    assert clinic.rows("SELECT 1 FROM radiology_order") == []


def test_a_search_without_scripts_ticks_who_alone_fits_and_nobody_chosen_before(clinic: Clinic) -> None:
    jonas, berta = clinic.patient("P1", given_names="Jonas"), clinic.patient("P2", given_names="Berta")
    desk = at_desk(clinic, "doctor")
    again = {"search": "1", "patient_id": str(jonas)}
    assert ticked(desk.post("/radiology/orders/new", again | {"patient_text": "berta"})) == [str(berta)]
    assert ticked(desk.post("/radiology/orders/new", again | {"patient_text": "doe"})) == [str(jonas)]  # fits still
    assert ticked(desk.post("/radiology/orders/new", again | {"patient_text": ""})) == [str(jonas)]
    assert ticked(desk.post("/radiology/orders/new", again | {"patient_text": "nobody"})) == []


def test_what_is_found_while_somebody_types_ticks_nobody_who_was_posted(clinic: Clinic) -> None:
    jonas, _ = clinic.patient("P1", given_names="Jonas"), clinic.patient("P2", given_names="Berta")
    desk = at_desk(clinic, "doctor")
    found = desk.post("/radiology/orders/new/patients", {"patient_text": "doe", "patient_id": str(jonas)})
    assert len(found.of("input", name="patient_id")) == 2
    assert ticked(found) == []


def test_who_fits_the_text_is_ordered_for(clinic: Clinic) -> None:
    jonas = clinic.patient("P1", given_names="Jonas")
    form = ORDER | {"patient_text": " jon doe ", "patient_id": str(jonas)}
    assert at_desk(clinic, "doctor").post("/radiology/orders/new", form).status == 303
    assert clinic.rows("SELECT patient_id FROM radiology_order")[0].patient_id == jonas
