"""The finding of an order is about the images its doctor saw, is kept whole, and what is wrong with images is told."""

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk, store
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.instruments.desk import Desk, Page

pytestmark = pytest.mark.api
API = "/api/v1/radiology"
LONGEST = 20_000


@pytest.fixture
def order_id(clinic: Clinic) -> int:
    """An order with an image."""
    made = clinic.order(clinic.patient(), accession_number="A1")
    store(clinic, ct(AccessionNumber="A1"))
    return made


@pytest.fixture
def doctor(clinic: Clinic) -> Desk:
    return at_desk(clinic, "doctor")


def more(clinic: Clinic, *numbers: int) -> None:
    store(clinic, *(ct(number, AccessionNumber="A1") for number in numbers))


def opened(page: Page, note: str = "Clear lungs") -> dict[str, str]:
    """What the form of this page sends."""
    return {name: page.value(name) for name in ("version", "image_count")} | {"review_note": note}


def test_a_finding_is_refused_where_images_came_since_the_page_was_opened(
    clinic: Clinic, doctor: Desk, order_id: int
) -> None:
    address = f"/radiology/orders/{order_id}"
    form = opened(doctor.get(address))
    more(clinic, 2, 3)
    mistaken = doctor.post(f"{address}/review", form | {"review_note": ""})
    assert (mistaken.status, mistaken.value("image_count")) == (422, form["image_count"])  # they are not seen by that
    page = doctor.post(f"{address}/review", form)
    assert page.status == 409
    assert "2 images came since you opened it" in page.text
    assert "Clear lungs" in page.of("textarea", name="review_note")[0].text
    assert clinic.rows("SELECT state FROM radiology_order")[0].state == "performed"
    assert doctor.post(f"{address}/review", opened(page)).place == address
    assert clinic.rows("SELECT reviewed_image_count FROM radiology_order")[0].reviewed_image_count == 3


def test_images_that_came_after_the_finding_are_told(clinic: Clinic, doctor: Desk, order_id: int) -> None:
    address = f"/radiology/orders/{order_id}"
    doctor.post(f"{address}/review", opened(doctor.get(address)))
    assert "after the finding" not in doctor.get(address).text
    more(clinic, 2)
    assert "1 image came after the finding" in doctor.get(address).text
    more(clinic, 3)
    assert "2 images came after the finding" in doctor.get(address).text
    told = clinic.doctor.get(f"{API}/orders/{order_id}").json()
    assert (told["image_count"], told["reviewed_image_count"]) == (3, 1)


def test_programs_may_say_how_many_images_they_saw(clinic: Clinic, order_id: int) -> None:
    address = f"{API}/orders/{order_id}"
    order = clinic.doctor.get(address).json()
    given = {"review_note": "Clear", "version": order["version"], "image_count": order["image_count"]}
    more(clinic, 2)
    refused = clinic.doctor.post(f"{address}/review", json=given)
    assert refused.status_code == 409
    assert "1 image came since" in refused.json()["error"]
    del given["image_count"]  # as documented clients have it
    assert clinic.doctor.post(f"{address}/review", json=given).status_code == 200


def test_files_on_their_way_are_told(clinic: Clinic, doctor: Desk, order_id: int) -> None:
    address = f"/radiology/orders/{order_id}"
    assert "on their way" not in doctor.get(address).text
    waiting = [ct(7, AccessionNumber="A1"), ct(8, AccessionNumber="A1")]
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in (7, 8)]
    made = clinic.declare(waiting, study_uid=STUDY, images=images).json()["uploads"]
    assert "2 files are still on their way" in doctor.get(address).text
    clinic.send(made[0]["id"], waiting[0])
    assert "1 file is still on its way" in doctor.get(address).text
    clinic.send(made[1]["id"], waiting[1])
    assert "on its way" not in doctor.get(address).text


def test_a_long_finding_is_kept_whole_or_refused_and_kept_on_the_page(
    clinic: Clinic, doctor: Desk, order_id: int
) -> None:
    address = f"/radiology/orders/{order_id}"
    page = doctor.get(address)
    assert "maxlength" not in page.of("textarea", name="review_note")[0].attributes
    long = "Lungs.\r\n" * 2000 + "x" * (LONGEST - 7 * 2000 - 12) + "\r\nConclusion."
    refused = doctor.post(f"{address}/review", opened(page, long + "!"))
    assert refused.status == 422
    assert f"at most {LONGEST} characters" in refused.text
    assert refused.of("textarea", name="review_note")[0].text.endswith("Conclusion.!")
    assert doctor.post(f"{address}/review", opened(page, long)).place == address
    note = clinic.rows("SELECT review_note FROM radiology_order")[0].review_note
    assert (len(note), note[-12:]) == (LONGEST, "\nConclusion.")


def test_images_not_to_be_used_are_told_beside_the_order(clinic: Clinic, doctor: Desk, order_id: int) -> None:
    address = f"/radiology/orders/{order_id}"
    more(clinic, 2)
    assert "not to be used" not in doctor.get(address).text
    numbers = [row.id for row in clinic.rows("SELECT id FROM radiology_image ORDER BY image_uid")]
    clinic.doctor.post(f"{API}/images/{numbers[1]}/reject", json={"note": "Wrong <side>"})
    page = doctor.get(address)
    assert "1 image is not to be used" in page.text
    assert "Wrong <side>" in page.text
    assert page.of("a", href=f"/radiology/studies/images/{numbers[1]}")
    doctor.post(f"{address}/review", opened(page))
    assert "Wrong <side>" in doctor.get(address).text
