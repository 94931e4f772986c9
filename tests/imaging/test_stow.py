"""STOW-RS: every instance is stored as it came, or listed with its reason."""

import hashlib

import pytest

from api.imaging import stow_routes
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic, related
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api


def test_what_comes_in_lies_byte_by_byte_below_the_tenants_root_and_in_its_rows(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="A1")
    files = [ct(number, AccessionNumber="A1") for number in (1, 2, 3)]
    answer = clinic.stow(*files)
    assert answer.status_code == 200, answer.text
    assert [item["00081155"]["Value"][0] for item in answer.json()["00081199"]["Value"]] == [
        f"{SERIES}.{number}" for number in (1, 2, 3)
    ]
    assert sorted(path.read_bytes() for path in clinic.objects()) == sorted(files)
    assert clinic.objects()[0].relative_to(clinic.media / "north").as_posix() == (
        f"radiology/{STUDY}/{SERIES}/{SERIES}.1/instance.dcm"
    )
    [study] = clinic.rows("SELECT * FROM radiology_study")
    assert (study.radiology_order_id, study.series_count, study.image_count) == (order_id, 1, 3)
    assert (study.patient_name, study.patient_code, study.modalities) == ("Doe^Jo", "P123", ["CT"])
    assert study.total_bytes == sum(map(len, files))
    images = clinic.rows("SELECT * FROM radiology_image ORDER BY instance_number")
    assert [image.checksum for image in images] == [hashlib.sha256(file).hexdigest() for file in files]
    assert {image.uploaded_by for image in images} == {int(clinic.technician.headers["X-Test-User"])}
    assert images[0].image_metadata["PhotometricInterpretation"] == "MONOCHROME2"
    [order] = clinic.rows("SELECT * FROM radiology_order")
    assert (order.state, order.version) == ("performed", 2)
    assert len(audited(clinic.tenant_id, "image.store")) == 3
    assert clinic.spool() == []


def test_the_same_again_is_a_success_and_other_bytes_are_a_conflict(clinic: Clinic) -> None:
    assert clinic.stow(ct()).status_code == 200
    again = clinic.stow(ct())
    assert again.status_code == 200
    other = clinic.stow(ct(WindowCenter="41"))
    assert other.status_code == 409
    [failed] = other.json()["00081198"]["Value"]
    assert (failed["00081155"]["Value"], failed["00081197"]["Value"]) == ([f"{SERIES}.1"], [0x0111])
    assert [path.read_bytes() for path in clinic.objects()] == [ct()]
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(1,)]


def test_some_stored_and_all_failures_listed(clinic: Clinic) -> None:
    answer = clinic.stow(ct(1), b"no image at all", ct(2, SOPInstanceUID=None), ct(3))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 2
    assert [item["00081197"]["Value"] for item in answer.json()["0008119A"]["Value"]] == [[0xC000], [0xA900]]


def test_a_study_of_another_patient_is_held_and_told(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    answer = clinic.stow(ct(2, PatientID="P999"))
    assert answer.status_code == 409
    [held] = clinic.rows("SELECT * FROM image_upload")
    assert (held.state, held.rule, held.image_uid) == ("held", "study_of_another", f"{SERIES}.2")
    assert [path.read_bytes() for path in clinic.spool()] == [ct(2, PatientID="P999")]
    clinic.stow(ct(2, PatientID="P999"))
    assert len(clinic.rows("SELECT 1 FROM image_upload")) == 1


def test_a_study_in_the_address_takes_only_its_own(clinic: Clinic) -> None:
    assert clinic.stow(ct(), study_uid=STUDY).status_code == 200
    assert clinic.stow(ct(2), study_uid="1.2.3").status_code == 409


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 415),
        (b"x", 'multipart/related; type="application/dicom"', 400),
        (b"x", 'multipart/related; type="application/dicom"; boundary=b', 400),
        (related([])[0], related([])[1], 400),
        (related([ct()])[0][:-20], related([])[1], 400),
        (related([ct()])[0], 'multipart/related; type="image/jpeg"; boundary=b0unda2y', 415),
    ],
)
def test_a_body_that_is_not_what_it_says(clinic: Clinic, body: bytes, content_type: str, status: int) -> None:
    answer = clinic.technician.post("/dicom-web/studies", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert clinic.spool() == []


def test_a_part_of_another_type_is_listed_as_failed_beside_those_that_are_stored(clinic: Clinic) -> None:
    """400 would say that nothing was stored."""
    body, content_type = related([ct(number) for number in range(1, 7)])
    other = b"--b0unda2y\r\nContent-Type: application/json\r\n\r\n{}\r\n"
    for sent, stored, status in ((body.removesuffix(b"--b0unda2y--\r\n") + other, 6, 202), (other, 0, 409)):
        answer = clinic.technician.post(
            "/dicom-web/studies", content=sent + b"--b0unda2y--\r\n", headers={"Content-Type": content_type}
        )
        assert answer.status_code == status, answer.text
        assert len(answer.json().get("00081199", {"Value": []})["Value"]) == stored
        assert [item["00081197"]["Value"] for item in answer.json()["0008119A"]["Value"]] == [[0xC000]]
    assert len(clinic.objects()) == 6
    assert clinic.spool() == []


def test_one_request_has_so_many_parts_and_no_more(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stow_routes, "MOST_PARTS", 3)
    assert clinic.stow(*(ct(number) for number in (1, 2, 3))).status_code == 200
    answer = clinic.stow(*(ct(number) for number in (3, 4, 5, 6, 7)))
    assert answer.status_code == 202
    assert len(answer.json()["00081199"]["Value"]) == 3
    [rest] = answer.json()["0008119A"]["Value"]
    assert "More than 3 instances" in rest["00000902"]["Value"][0]
    assert len(clinic.objects()) == 5
    assert clinic.spool() == []
