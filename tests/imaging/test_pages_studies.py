"""The pages of studies and images: who sees which, assigned, opened and taken back, rejected with a note."""

from collections.abc import Callable
from typing import Any

import pytest

from models.kernel.settings import settings
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk, store
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.instruments.desk import Desk

pytestmark = pytest.mark.api
STRAY = "1.2.3.4"


@pytest.fixture
def doctor(clinic: Clinic) -> Desk:
    return at_desk(clinic, "doctor")


@pytest.fixture
def technician(clinic: Clinic) -> Desk:
    return at_desk(clinic, "radiology_technician")


@pytest.fixture
def studies(clinic: Clinic) -> tuple[int, int]:
    """A study of an order with two images, and one without an order."""
    clinic.order(clinic.patient(), accession_number="ACC1")
    files = [ct(1, AccessionNumber="ACC1"), ct(2, AccessionNumber="ACC1")]
    stray = ct(1, study_uid=STRAY, series_uid=f"{STRAY}.1", PatientID="X9", Modality="MR", StudyDescription="A stray")
    store(clinic, *files, stray)
    ids = {uid: number for number, uid in clinic.rows("SELECT id, study_uid FROM radiology_study")}
    return ids[STUDY], ids[STRAY]


def image_of(clinic: Clinic) -> int:
    """The first image of the study that has an order."""
    return int(clinic.rows("SELECT id FROM radiology_image WHERE image_uid = :u", u=f"{SERIES}.1")[0][0])


def test_each_page_is_for_radiology_alone(clinic: Clinic, studies: tuple[int, int]) -> None:
    paths = ("/radiology/studies", f"/radiology/studies/{studies[0]}", f"/radiology/studies/images/{image_of(clinic)}")
    for role in ("technician", "verifier", "nurse", "supervisor", "administrator"):
        desk = at_desk(clinic, role)
        for path in (*paths, f"/radiology/view/{STUDY}"):
            assert (role, path, desk.get(path).status) == (role, path, 403)
    for role in ("doctor", "radiology_technician"):
        for path in paths:
            assert at_desk(clinic, role).get(path).status == 200


def test_what_has_no_order_a_doctor_does_not_see(doctor: Desk, technician: Desk, studies: tuple[int, int]) -> None:
    assert "A stray" in technician.get("/radiology/studies").source
    assert "A stray" not in doctor.get("/radiology/studies").source
    assert "A stray" not in doctor.get("/radiology/studies?unassigned=true").source
    assert technician.get(f"/radiology/studies/{studies[1]}").status == 200
    assert doctor.get(f"/radiology/studies/{studies[1]}").status == 404
    assert doctor.post(f"/radiology/studies/{studies[1]}/view").status == 404


def test_nobody_reaches_another_clinics_study(
    clinic: Clinic, studies: tuple[int, int], make_clinic: Callable[[str], Clinic]
) -> None:
    desk = at_desk(make_clinic("south"), "doctor", "radiology_technician")
    study = f"/radiology/studies/{studies[0]}"
    assert desk.get(study).status == 404
    for action, form in (("view", {}), ("assign", {"radiology_order_id": "1"}), ("grants/1/revoke", {})):
        assert (action, desk.post(f"{study}/{action}", form).status) == (action, 404)
    image = f"/radiology/studies/images/{image_of(clinic)}"
    assert desk.get(image).status == 404
    assert desk.post(f"{image}/reject", {"note": "x"}).status == 404


@pytest.mark.parametrize(
    ("query", "is_chest", "is_stray"),
    [
        ("", True, True),
        ("patient=P123", True, False),
        ("q=stray", False, True),
        ("q=ACC1", True, False),
        ("modality=MR", False, True),
        ("date_from=2026-01-16", False, False),
        ("date_from=2026-01-15&date_to=2026-01-15", True, True),
        ("unassigned=true", False, True),
    ],
)
def test_the_list_is_filtered(
    technician: Desk, studies: tuple[int, int], query: str, is_chest: bool, is_stray: bool
) -> None:
    page = technician.get(f"/radiology/studies?{query}")
    found = {name: name in page.text for name in ("CT of the chest", "A stray")}
    assert found == {"CT of the chest": is_chest, "A stray": is_stray}


def test_a_filter_that_cannot_be_read_is_named(technician: Desk, studies: tuple[int, int]) -> None:
    page = technician.get("/radiology/studies?date_from=yesterday&q=stray")
    assert page.status == 422
    assert page.of("input", id="filter-date_from", aria_invalid="true")
    assert page.value("q") == "stray"


def test_the_modality_looked_for_is_shown_though_it_is_not_offered(clinic: Clinic, technician: Desk) -> None:
    for number, modality in enumerate(("ZZ", "MR")):
        uid = f"1.2.{number}"
        store(clinic, ct(1, study_uid=uid, series_uid=f"{uid}.1", Modality=modality, StudyDescription=f"Of {modality}"))
    offered = [one.attributes["value"] for one in technician.get("/radiology/studies").of("option")]
    assert {"", "CT", "MR"} < set(offered)
    for given, found, options in (("zz", "ZZ", ["ZZ"]), ("MR", "MR", []), ("mr", "MR", []), ("SEG", "", ["SEG"])):
        page = technician.get(f"/radiology/studies?modality={given}")
        assert {one for one in ("ZZ", "MR") if f"Of {one}" in page.text} == ({found} if found else set()), given
        assert [one.attributes["value"] for one in page.of("option")] == [*offered, *options]
        [chosen] = [one.attributes["value"] for one in page.of("option") if "selected" in one.attributes]
        assert chosen == given.upper()
    refused = technician.get("/radiology/studies?modality=<C%3BT>&q=Of")
    assert refused.status == 422
    assert refused.of("select", id="filter-modality", aria_invalid="true")
    assert refused.value("q") == "Of"
    assert "<C;T>" not in refused.source


def test_looking_is_noted(clinic: Clinic, technician: Desk, studies: tuple[int, int]) -> None:
    technician.get("/radiology/studies")
    assert len(audited(clinic.tenant_id, "patient.read")) == 1
    assert [row.resource_id for row in audited(clinic.tenant_id, "study.read")] == [str(studies[1])]
    technician.get(f"/radiology/studies/{studies[0]}")
    technician.get(f"/radiology/studies/images/{image_of(clinic)}")
    assert len(audited(clinic.tenant_id, "patient.read")) == 3


def test_a_technician_says_whose_a_study_is_and_then_doctors_see_it(
    clinic: Clinic, doctor: Desk, technician: Desk, studies: tuple[int, int]
) -> None:
    order_id = clinic.order(clinic.patient("P9", family_name="Stray"), modality="MR")
    study = f"/radiology/studies/{studies[1]}"
    assert technician.get(study).of("input", id=f"assign-{order_id}")
    assert technician.post(f"{study}/assign").status == 422
    assert doctor.post(f"{study}/assign", {"radiology_order_id": str(order_id)}).status == 403
    assert technician.post(f"{study}/assign", {"radiology_order_id": "1"}).status == 409
    assert technician.post(f"{study}/assign", {"radiology_order_id": str(order_id)}).place == study
    page = doctor.get(study)
    assert page.status == 200
    assert "The files name another patient number" in page.text
    assert technician.post(f"{study}/assign", {"radiology_order_id": "1"}).status == 409


def test_the_viewer_is_opened_by_an_address_that_can_be_taken_back(
    clinic: Clinic, doctor: Desk, technician: Desk, studies: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_OHIF_VIEWER_URL", "")
    settings.cache_clear()
    study = f"/radiology/studies/{studies[0]}"
    place = doctor.post(f"{study}/view").place
    assert place.startswith(f"/radiology/view/{STUDY}?token=")
    stranger = at_desk(clinic, "nurse")
    assert stranger.get(place).status == 200  # whoever has it
    (grant_id,) = clinic.rows("SELECT id FROM viewer_grant")[0]
    other = at_desk(clinic, "doctor")
    assert "Revoke" not in other.get(study).text
    assert other.post(f"{study}/grants/{grant_id}/revoke").status == 404
    assert "Open" in technician.get(study).text
    assert technician.post(f"{study}/grants/{grant_id}/revoke").status == 303
    gone = stranger.get(place)
    assert gone.status == 401
    assert "expired or was revoked" in gone.text
    assert "Revoked" in doctor.get(study).text


def test_a_viewer_elsewhere_is_gone_to_by_a_page_in_between(
    doctor: Desk, studies: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_OHIF_VIEWER_URL", "https://viewer.example.org/ohif/")
    settings.cache_clear()
    page = doctor.post(f"/radiology/studies/{studies[0]}/view")
    assert page.status == 200
    (refresh,) = page.of("meta", http_equiv="refresh")
    assert refresh.attributes["content"].startswith("0; url=https://viewer.example.org/ohif/?studyInstanceUIDs=")


def test_the_page_of_the_viewer_says_nothing_of_anybody(clinic: Clinic, doctor: Desk, studies: tuple[int, int]) -> None:
    page = doctor.get(f"/radiology/view/{STUDY}")
    assert page.status == 200
    assert "P123" not in page.source
    assert "Doe" not in page.source
    doctor.browser.cookies.clear()
    assert doctor.get(f"/radiology/view/{STUDY}").place.startswith("/login")
    assert doctor.get(f"/radiology/view/{STUDY}?token=lwv_nonsense").status == 401


def test_an_image_is_rejected_with_a_note_once_and_stays(
    clinic: Clinic, doctor: Desk, studies: tuple[int, int]
) -> None:
    image = f"/radiology/studies/images/{image_of(clinic)}"
    assert doctor.post(f"{image}/reject", {"note": " "}).status == 422
    assert doctor.post(f"{image}/reject", {"note": "Wrong <b>side</b>"}).place == image
    page = doctor.get(image)
    assert "Wrong <b>side</b>" in page.text
    assert not page.of("textarea")
    assert "To be looked at" in doctor.get(f"/radiology/studies/{studies[0]}").text
    assert doctor.post(f"{image}/reject", {"note": "again"}).status == 409
    assert len(clinic.objects()) == 3


def test_what_a_check_found_stands_on_the_study_and_the_image(
    clinic: Clinic, doctor: Desk, studies: tuple[int, int]
) -> None:
    number = image_of(clinic)
    clinic.rows("UPDATE radiology_image SET problem = 'corrupt' WHERE id = :i RETURNING id", i=number)
    for path in (f"/radiology/studies/{studies[0]}", f"/radiology/studies/images/{number}"):
        assert "Its bytes are not those that were stored" in doctor.get(path).text


def test_a_long_series_is_shown_page_by_page(clinic: Clinic, doctor: Desk) -> None:
    clinic.order(clinic.patient(), accession_number="ACC1")
    store(clinic, *(ct(n, AccessionNumber="ACC1") for n in range(1, 15)))
    (study_id,) = clinic.rows("SELECT id FROM radiology_study")[0]
    (series_id,) = clinic.rows("SELECT id FROM radiology_series WHERE series_uid = :u", u=SERIES)[0]
    first = doctor.get(f"/radiology/studies/{study_id}")
    assert len(thumbnails(first)) == 12
    assert "All 14 images of this series" in first.text
    assert len(thumbnails(doctor.get(f"/radiology/studies/{study_id}?series={series_id}"))) == 14
    assert thumbnails(doctor.get(f"/radiology/studies/{study_id}?series={series_id}&page=2")) == []


def thumbnails(page: Any) -> list[str]:
    return [one.attributes["src"] for one in page.of("img") if "/instances/" in one.attributes["src"]]
