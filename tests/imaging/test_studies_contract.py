"""The documented reading endpoints answer as documented, with their slash and without it."""

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from models.kernel.clock import utc_now
from models.kernel.settings import settings
from tests.api.helpers import audited, client
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture

pytestmark = pytest.mark.api
API = "/api/v1/radiology"


@pytest.fixture
def order_id(clinic: Clinic) -> int:
    """An order with a study of two series."""
    order_id = clinic.order(clinic.patient(), accession_number="A1")
    files = [ct(number, AccessionNumber="A1") for number in (2, 1)]
    files.append(ct(1, series_uid=f"{SERIES}.9", SeriesNumber=2, SeriesDescription="Lung", AccessionNumber="A1"))
    assert clinic.stow(*files).status_code == 200
    return order_id


def get(clinic: Clinic, path: str, **params: Any) -> Any:
    """The same from both spellings of the address."""
    answers = [clinic.doctor.get(API + one, params=params) for one in (path, path.rstrip("/"))]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].json().__class__ is answers[1].json().__class__
    return answers[0]


def image_id(clinic: Clinic) -> int:
    return int(clinic.rows("SELECT id FROM radiology_image ORDER BY image_uid LIMIT 1")[0].id)


def study_id(clinic: Clinic) -> int:
    return int(clinic.rows("SELECT id FROM radiology_study")[0].id)


def test_the_list_of_studies(clinic: Clinic, order_id: int) -> None:
    [study] = get(clinic, "/studies/", radiology_order_id=order_id).json()
    created_at = study.pop("created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created_at)
    assert abs(datetime.fromisoformat(created_at) - utc_now()) < timedelta(minutes=10)
    assert study == {
        "id": study_id(clinic),
        "study_uid": STUDY,
        "radiology_order": order_id,
        "study_description": "CT of the chest",
        "modality": "CT",
        "study_date": "2026-01-15",
        "patient_name": "Jo Doe",
        # beyond what is documented
        "patient_id": "P123",
        "accession_number": "A1",
        "modalities": ["CT"],
        "series_count": 2,
        "image_count": 3,
        "total_bytes": sum(image.file_size for image in clinic.rows("SELECT file_size FROM radiology_image")),
    }
    assert get(clinic, "/studies/", radiology_order_id=order_id + 1).json() == []
    assert get(clinic, f"/studies/{study_id(clinic)}/").json() == study | {"created_at": created_at}


def test_the_viewer_url(clinic: Clinic, order_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_OHIF_VIEWER_URL", "https://viewer.example.org/viewer/")
    settings.cache_clear()
    answer = get(clinic, f"/studies/{study_id(clinic)}/viewer-url/").json()
    assert set(answer) == {"viewer_url", "study_uid", "expires_in"}
    assert (answer["study_uid"], answer["expires_in"]) == (STUDY, 3600)
    assert answer["viewer_url"].startswith("https://viewer.example.org/viewer/?")
    query = parse_qs(urlsplit(answer["viewer_url"]).query)
    assert (query["studyInstanceUIDs"], query["expires"]) == ([STUDY], ["3600"])
    assert query["token"][0].startswith("lwv_")
    [_, grant] = audited(clinic.tenant_id, "viewer.grant")
    assert grant.changes["study"] == study_id(clinic)


def test_the_images_by_series(clinic: Clinic, order_id: int) -> None:
    answer = get(clinic, f"/studies/{study_id(clinic)}/images/").json()
    assert set(answer) == {"study_uid", "study_description", "series"}
    assert (answer["study_uid"], answer["study_description"]) == (STUDY, "CT of the chest")
    first, second = answer["series"]
    images = first.pop("images")
    assert first == {
        "series_uid": SERIES, "series_description": "Axial", "series_number": 1, "modality": "CT"
    }  # fmt: skip
    assert (second["series_number"], second["series_description"], len(second["images"])) == (2, "Lung", 1)
    assert [image["instance_number"] for image in images] == [1, 2]
    image = images[0]
    assert (image["image_uid"], image["filename"]) == (f"{SERIES}.1", "instance.dcm")
    assert (image["file_size"], image["mime_type"]) == (len(ct(1, AccessionNumber="A1")), "application/dicom")
    query = parse_qs(urlsplit(image["image_url"]).query)
    assert query["expires"] == ["3600"]
    assert clinic.doctor.get(image["image_url"]).content == ct(1, AccessionNumber="A1")


def test_the_url_of_an_image(clinic: Clinic, order_id: int) -> None:
    number = image_id(clinic)
    answer = get(clinic, f"/images/{number}/url/", expires_in=60).json()
    address = answer.pop("image_url")
    assert answer == {"image_uid": f"{SERIES}.1", "filename": "instance.dcm", "expires_in": 60}
    assert address.startswith(f"{settings().base_url}{API}/images/{number}/file?token=")
    assert address.endswith("&expires=60")


def test_an_address_lasts_no_longer_than_the_setting(
    clinic: Clinic, order_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_RADIOLOGY_URL_SECONDS", "120")
    settings.cache_clear()
    for path in (f"/studies/{study_id(clinic)}/viewer-url/", f"/images/{image_id(clinic)}/url/"):
        assert get(clinic, path, expires_in=86_400).json()["expires_in"] == 120
        assert get(clinic, path, expires_in=60).json()["expires_in"] == 60
        assert clinic.doctor.get(API + path, params={"expires_in": 5}).status_code == 422
    grants = clinic.rows("SELECT extract(epoch FROM expires_at - created_at) AS seconds FROM viewer_grant ORDER BY id")
    assert max(float(grant.seconds) for grant in grants) <= 120


def test_without_signed_urls_addresses_carry_no_token_and_ask_for_a_sign_in(
    clinic: Clinic, order_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = get(clinic, f"/images/{image_id(clinic)}/url/").json()["image_url"]
    monkeypatch.setenv("LABWIRE_RADIOLOGY_SIGNED_URLS", "false")
    settings.cache_clear()
    viewer = get(clinic, f"/studies/{study_id(clinic)}/viewer-url/").json()["viewer_url"]
    image = get(clinic, f"/images/{image_id(clinic)}/url/").json()["image_url"]
    assert "token" not in viewer + image
    assert clinic.rows("SELECT * FROM viewer_grant") == []
    assert clinic.doctor.post(f"{API}/studies/{study_id(clinic)}/grants", json={}).status_code == 409
    assert clinic.doctor.get(image).status_code == 200
    assert client().get(image).status_code == 401
    assert client().get(signed).status_code == 401  # what was given out before is closed too


def test_the_details_of_an_image_have_its_dicom_attributes(clinic: Clinic, order_id: int) -> None:
    answer = get(clinic, f"/images/{image_id(clinic)}/").json()
    assert answer["image_metadata"]["PhotometricInterpretation"] == "MONOCHROME2"
    assert answer["uploaded_by"] == int(clinic.technician.headers["X-Test-User"])
    assert (answer["rows"], answer["columns"], answer["frames"]) == (32, 32, 1)
    assert answer["file_key"].startswith(f"radiology/{STUDY}/{SERIES}/")


def test_reading_leaves_a_trace_at_the_patient(clinic: Clinic, order_id: int) -> None:
    [order] = clinic.rows("SELECT patient_id FROM radiology_order")
    paths = ("/studies/", f"/studies/{study_id(clinic)}/", f"/studies/{study_id(clinic)}/images/")
    for path in (*paths, f"/images/{image_id(clinic)}/", f"/images/{image_id(clinic)}/url/"):
        before = len(audited(clinic.tenant_id, "patient.read"))
        assert clinic.doctor.get(API + path).status_code == 200
        rows = audited(clinic.tenant_id, "patient.read")[before:]
        assert [(row.resource_id, row.actor_id) for row in rows] == [
            (str(order.patient_id), clinic.doctor.headers["X-Test-User"])
        ], path


def test_filters_pages_and_their_headers(clinic: Clinic) -> None:
    clinic.order(clinic.patient())
    for number in range(5):
        file = ct(
            study_uid=f"{STUDY}.{number}",
            series_uid=f"{STUDY}.{number}.1",
            StudyDate=f"2026011{number}",
            PatientID=f"P{number}",
            PatientName=f"Name{number}^Jo",
            Modality="MR" if number == 4 else "CT",
        )
        assert clinic.stow(file).status_code == 200
    asked = clinic.technician

    def found(**params: Any) -> list[str]:
        answer = asked.get(f"{API}/studies/", params=params)
        assert answer.status_code == 200, answer.text
        return [study["patient_id"] for study in answer.json()]

    assert found() == ["P4", "P3", "P2", "P1", "P0"]
    assert found(patient_id="P2") == found(q="name2 chest") == found(q="P2") == ["P2"]
    assert found(q="%") == found(q="_") == []
    assert found(modality="mr") == ["P4"]
    assert found(date_from="2026-01-11", date_to="2026-01-12") == ["P2", "P1"]
    assert (len(found(unassigned=True)), found(unassigned=False)) == (5, [])
    page = asked.get(f"{API}/studies/", params={"q": "name", "page": 2, "size": 2})
    assert page.headers["X-Total-Count"] == "5"
    assert [study["patient_id"] for study in page.json()] == ["P2", "P1"]
    links = dict(reversed(one.split("; ")) for one in page.headers["Link"].split(", "))
    assert set(links) == {f'rel="{name}"' for name in ("first", "prev", "next", "last")}
    following = asked.get(links['rel="next"'].strip("<>"))
    assert [study["patient_id"] for study in following.json()] == ["P0"]
    assert 'rel="next"' not in following.headers["Link"]
    assert asked.get(f"{API}/studies/", params={"date_from": "2026-02-01", "date_to": "2026-01-01"}).status_code == 422


def test_a_patients_studies_are_found_by_the_code_the_order_knows_them_by(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient("P777"))
    assert clinic.stow(ct(PatientID="MODALITY-9")).status_code == 200
    assigned = clinic.technician.post(f"{API}/studies/{study_id(clinic)}/assign", json={"radiology_order_id": order_id})
    assert assigned.status_code == 200, assigned.text
    for code in ("P777", "MODALITY-9"):
        assert len(clinic.doctor.get(f"{API}/studies/", params={"patient_id": code}).json()) == 1


def test_a_study_without_an_order_is_the_technicians_until_it_is_assigned(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    assert clinic.stow(ct()).status_code == 200
    study, image = study_id(clinic), image_id(clinic)
    paths = [f"/studies/{study}/{rest}" for rest in ("", "viewer-url/", "images/", "grants")]
    paths += [f"/images/{image}/{rest}" for rest in ("", "url/", "file")]
    for path in paths:
        assert clinic.doctor.get(API + path).status_code == 404, path
        assert clinic.technician.get(API + path).status_code == 200, path
    assert clinic.doctor.get(f"{API}/studies/").json() == []
    assert clinic.doctor.get(f"{API}/studies/").headers["X-Total-Count"] == "0"
    assert clinic.doctor.post(f"{API}/images/{image}/reject", json={"note": "x"}).status_code == 404
    assert audited(clinic.tenant_id, "access.refused") == []  # it is this clinic's own
    assert {row.resource_id for row in audited(clinic.tenant_id, "study.read")} == {str(study)}
    given = {"radiology_order_id": order_id}
    assert clinic.doctor.post(f"{API}/studies/{study}/assign", json=given).status_code == 403
    answer = clinic.technician.post(f"{API}/studies/{study}/assign", json=given)
    assert answer.json()["radiology_order"] == order_id
    assert clinic.technician.post(f"{API}/studies/{study}/assign", json=given).status_code == 200
    for path in paths:
        assert clinic.doctor.get(API + path).status_code == 200, path
    other = clinic.order(clinic.patient("P9"))
    refused = clinic.technician.post(f"{API}/studies/{study}/assign", json={"radiology_order_id": other})
    assert refused.status_code == 409


def test_a_rejected_image_stays_with_one_note(clinic: Clinic, order_id: int) -> None:
    address = f"{API}/images/{image_id(clinic)}"
    answer = clinic.doctor.post(f"{address}/reject", json={"note": "wrong side"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejection_note"] == "wrong side"
    assert answer.json()["rejected_by"] == int(clinic.doctor.headers["X-Test-User"])
    assert clinic.technician.post(f"{address}/reject", json={"note": "again"}).status_code == 409
    assert clinic.doctor.post(f"{address}/reject", json={"note": " "}).status_code == 422
    assert clinic.doctor.get(f"{address}/file").status_code == 200
    listed = clinic.doctor.get(f"{API}/studies/{study_id(clinic)}/images/").json()["series"][0]["images"]
    assert [(image["is_rejected"], image["rejection_note"]) for image in listed] == [
        (True, "wrong side"), (False, None)
    ]  # fmt: skip
    [row] = audited(clinic.tenant_id, "image.reject")
    assert "wrong side" not in str(row.changes)


def test_an_order_is_made_performed_and_reviewed(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    given = {"patient_id": patient_id, "procedure": "CT of the chest", "modality": "ct", "priority": "urgent"}
    made = clinic.doctor.post(f"{API}/orders", json=given)
    assert made.status_code == 201, made.text
    order = made.json()
    assert (order["state"], order["patient_code"], order["study_uid"]) == ("ordered", "P123", None)
    early = {"review_note": "nothing", "version": order["version"]}
    assert clinic.doctor.post(f"{API}/orders/{order['id']}/review", json=early).status_code == 409
    assert clinic.stow(ct(AccessionNumber=order["accession_number"])).status_code == 200
    order = clinic.doctor.get(f"{API}/orders/{order['id']}").json()
    assert (order["state"], order["study_uid"], order["version"]) == ("performed", STUDY, 2)
    review = {"review_note": "No finding.", "version": 2}
    assert clinic.technician.post(f"{API}/orders/{order['id']}/review", json=review).status_code == 403
    assert clinic.doctor.post(f"{API}/orders/{order['id']}/review", json=review | {"version": 1}).status_code == 409
    done = clinic.doctor.post(f"{API}/orders/{order['id']}/review", json=review).json()
    assert (done["state"], done["review_note"]) == ("reviewed", "No finding.")
    page = clinic.technician.get(f"{API}/orders", params={"state": "reviewed", "patient_id": patient_id}).json()
    assert ([item["id"] for item in page["items"]], page["total"]) == ([order["id"]], 1)
    assert clinic.technician.get(f"{API}/orders", params={"accession_number": "NONE"}).json()["items"] == []


def test_a_picture_has_its_own_type_and_name(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    sent = clinic.technician.post(
        f"{API}/images",
        data={"radiology_order_id": str(order_id)},
        files={"files": ("thorax links.jpg", picture(), "image/jpeg")},
    )
    assert sent.status_code == 200, sent.text
    [series] = clinic.doctor.get(f"{API}/studies/{study_id(clinic)}/images/").json()["series"]
    [image] = series["images"]
    assert (image["mime_type"], image["filename"]) == ("image/jpeg", "thorax links.jpg")
    answer = clinic.doctor.get(image["image_url"])
    assert (answer.content, answer.headers["Content-Type"]) == (picture(), "image/jpeg")
    assert answer.headers["Content-Disposition"] == (
        "inline; filename=\"thorax_links.jpg\"; filename*=UTF-8''thorax%20links.jpg"
    )
