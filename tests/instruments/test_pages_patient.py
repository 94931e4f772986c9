"""What the pages lead to: a patient's released results and a new order, and from the work list the next step."""

import pytest

from tests.conftest import Database
from tests.instruments.desk import sit_down
from tests.instruments.helpers import Lab, make_lab
from tests.instruments.test_verification import let_go, verify

pytestmark = pytest.mark.api


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


def test_a_patients_page_shows_what_is_released_and_orders_a_test(lab: Lab) -> None:
    released, waiting = lab.queued()[0], lab.queued()[0]
    lab.answer(released, lab.body(released, value="17.3"))
    lab.answer(waiting, lab.body(waiting, value="4.4"))
    for who in ("vera", "victor"):
        verify(lab, released, who)
    let_go(lab, released)
    place = f"/patients/{lab.patient_id}"
    page = sit_down(lab, "dora", "doctor").get(place)
    assert "17.3" in page.text
    assert "High" in page.text
    assert "4.4" not in page.text
    assert page.of("a", href=f"/assignments/new?patient={lab.patient_id}")
    page = sit_down(lab, "rita", "radiology_technician").get(place)
    assert "17.3" not in page.text
    assert page.of("a", href=f"/assignments/new?patient={lab.patient_id}") == []


def test_the_work_list_offers_what_can_be_done_next(lab: Lab) -> None:
    analysed, by_hand = lab.queued()[0], lab.order("LAB-NOTE")[0]
    lab.answer(analysed)
    technician, verifier = sit_down(lab, "tina2", "technician"), sit_down(lab, "nora", "verifier")
    page = technician.get("/worklist")
    assert page.of("a", id=f"go-{by_hand}", href=f"/assignments/{by_hand}/result")
    assert page.of("a", id=f"go-{analysed}") == []
    (link,) = verifier.get("/worklist").of("a", id=f"go-{analysed}")
    assert link.text.strip() == "Verify"
    assert verifier.get("/worklist").of("a", id=f"go-{by_hand}") == []


def test_a_doctor_is_led_to_no_page_that_is_refused(lab: Lab) -> None:
    lab.order()
    doctor = sit_down(lab, "dora", "doctor")
    for page in (doctor.get("/worklist"), doctor.get(f"/patients/{lab.patient_id}")):
        for link in page.of("a"):
            address = link.attributes["href"]
            if address.startswith("/"):
                assert doctor.browser.get(address, follow_redirects=True).status_code == 200, address
