"""Upload in two steps: what was declared is what is stored, in whatever parts it comes."""

import hashlib
import random

import pytest

from models.imaging.uids import derived_uid
from models.kernel.settings import settings
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture

pytestmark = pytest.mark.api


def of_ct(number: int = 1) -> dict[str, object]:
    return {"image_uid": f"{SERIES}.{number}", "series_uid": SERIES, "filename": f"ct {number}.dcm"}


def test_declared_then_sent_it_is_stored_under_its_order(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    declared = clinic.declare([ct()], study_uid=STUDY, radiology_order_id=order_id, images=[of_ct()])
    assert declared.status_code == 201, declared.text
    [upload] = declared.json()["uploads"]
    assert (upload["state"], upload["received_bytes"]) == ("declared", 0)
    stored = clinic.send(upload["id"], ct())
    assert stored.status_code == 200, stored.text
    assert (stored.json()["state"], stored.json()["received_bytes"]) == ("stored", len(ct()))
    [image] = clinic.rows("SELECT * FROM radiology_image")
    assert (image.id, image.source, image.filename) == (stored.json()["image_id"], "sync", "ct 1.dcm")
    assert image.file_key == f"radiology/{STUDY}/{SERIES}/{SERIES}.1/ct_1.dcm"
    assert [path.read_bytes() for path in clinic.objects()] == [ct()]
    assert clinic.rows("SELECT radiology_order_id FROM radiology_study") == [(order_id,)]
    assert clinic.spool() == []
    assert [len(audited(clinic.tenant_id, name)) for name in ("image_upload.declare", "image.store")] == [1, 1]


def test_declared_again_after_a_lost_answer_it_is_the_same_upload(clinic: Clinic) -> None:
    first = clinic.declare([ct(1), ct(2)], study_uid=STUDY, images=[of_ct(1), of_ct(2)]).json()
    again = clinic.declare([ct(2), ct(1)], study_uid=STUDY, images=[of_ct(2), of_ct(1)]).json()
    assert [one["id"] for one in again["uploads"]] == [one["id"] for one in reversed(first["uploads"])]
    clinic.send(first["uploads"][0]["id"], ct(1))
    stored = clinic.declare([ct(1)], study_uid=STUDY, images=[of_ct(1)]).json()["uploads"][0]
    assert (stored["id"], stored["state"]) == (first["uploads"][0]["id"], "stored")
    changed = clinic.declare([ct(2) + b"x"], study_uid=STUDY, images=[of_ct(2)])
    assert (changed.status_code, "images.0.image_uid" in str(changed.json())) == (409, False)
    other = clinic.declare([ct(1) + b"x"], study_uid=STUDY, images=[of_ct(1)])
    assert other.status_code == 409


def test_cut_anywhere_repeated_and_overlapping_parts_end_as_the_one_file(clinic: Clinic) -> None:
    file, chance = ct(size=128), random.Random(7)
    [upload] = clinic.declare([file], study_uid=STUDY, images=[of_ct()]).json()["uploads"]
    address, sent = f"/api/v1/radiology/uploads/{upload['id']}/binary", 0
    while sent < len(file):
        begin = max(0, sent - chance.randrange(300))
        answer = clinic.send(upload["id"], file[begin : sent + chance.randrange(1, 2000)], begin)
        assert answer.status_code == 200, answer.text
        head = clinic.technician.head(address)
        sent = int(head.headers["Upload-Offset"])
        assert sent == answer.json()["received_bytes"]
        assert head.headers["Upload-Length"] == str(len(file))
    assert answer.json()["state"] == "stored"
    assert [path.read_bytes() for path in clinic.objects()] == [file]
    assert clinic.send(upload["id"], file[-10:], len(file) - 10).json()["state"] == "stored"
    assert len(clinic.rows("SELECT 1 FROM radiology_image")) == 1


def test_a_gap_is_refused_with_where_to_go_on(clinic: Clinic) -> None:
    [upload] = clinic.declare([ct()], study_uid=STUDY, images=[of_ct()]).json()["uploads"]
    clinic.send(upload["id"], ct()[:100])
    refused = clinic.send(upload["id"], ct()[200:], 200)
    assert (refused.status_code, refused.headers["Upload-Offset"]) == (409, "100")
    assert clinic.send(upload["id"], ct()[100:], 100).json()["state"] == "stored"


def test_more_bytes_than_declared_are_refused_and_what_fits_is_kept(clinic: Clinic) -> None:
    [upload] = clinic.declare([ct()], study_uid=STUDY, images=[of_ct()]).json()["uploads"]
    refused = clinic.send(upload["id"], ct() + b"more")
    assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "file_size")
    assert clinic.objects() == []


def test_other_bytes_than_declared_begin_again(clinic: Clinic) -> None:
    [upload] = clinic.declare([ct()], study_uid=STUDY, images=[of_ct()]).json()["uploads"]
    wrong = bytes([*ct()[:-1], 255 - ct()[-1]])
    refused = clinic.send(upload["id"], wrong)
    assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "checksum")
    assert clinic.technician.get(f"/api/v1/radiology/uploads/{upload['id']}").json()["received_bytes"] == 0
    assert clinic.send(upload["id"], ct()).json()["state"] == "stored"


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        (ct(SOPInstanceUID=f"{SERIES}.9"), "uids"),
        (ct(StudyInstanceUID="1.2.3"), "uids"),
        (ct(PatientID="P999"), "patient"),
        (ct(PatientID=None), "patient"),
        (picture(), "mime_type"),
        (b"nothing that anybody could read", "not_an_image"),
        (b"MZ" + ct()[2:], "executable"),
        (ct()[:-100], "length"),
    ],
)
def test_what_is_not_as_declared_is_held_with_the_reason(clinic: Clinic, file: bytes, rule: str) -> None:
    order_id = clinic.order(clinic.patient())
    declared = clinic.declare([file], study_uid=STUDY, radiology_order_id=order_id, images=[of_ct()])
    upload_id = declared.json()["uploads"][0]["id"]
    held = clinic.send(upload_id, file).json()
    assert (held["state"], held["rule"], bool(held["reason"])) == ("held", rule, True)
    assert clinic.objects() == []
    assert [path.read_bytes() for path in clinic.spool()] == [file]
    assert clinic.send(upload_id, file).status_code == 409
    assert len(audited(clinic.tenant_id, "image_upload.hold")) == 1


def test_what_is_held_is_taken_in_once_it_was_put_right_or_given_up_with_a_note(clinic: Clinic) -> None:
    patient_id = clinic.patient("P777")
    order_id = clinic.order(patient_id)
    declared = clinic.declare([ct()], study_uid=STUDY, radiology_order_id=order_id, images=[of_ct()])
    upload = clinic.send(declared.json()["uploads"][0]["id"], ct()).json()
    address = f"/api/v1/radiology/uploads/{upload['id']}"
    assert clinic.technician.post(f"{address}/retry").json()["state"] == "held"
    clinic.rows("UPDATE patient SET code = 'P123' WHERE id = :id RETURNING id", id=patient_id)
    assert clinic.technician.post(f"{address}/retry").json()["state"] == "stored"
    assert clinic.technician.post(f"{address}/discard", json={"note": "wrong"}).status_code == 409
    [other] = clinic.declare([ct(2)], study_uid=STUDY, images=[of_ct(2)]).json()["uploads"]
    clinic.send(other["id"], ct(2)[:50])
    gone = clinic.technician.post(f"/api/v1/radiology/uploads/{other['id']}/discard", json={"note": "wrong patient"})
    assert (gone.json()["state"], gone.json()["note"]) == ("discarded", "wrong patient")
    assert clinic.spool() == []
    assert clinic.send(other["id"], ct(2)[50:], 50).status_code == 409


def test_a_picture_gets_uids_of_its_study_and_a_wrapping(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(), modality="XC")
    file, said = picture(), {"mime_type": "image/jpeg", "filename": "wound.jpg"}
    [upload] = clinic.declare([file], radiology_order_id=order_id, images=[said]).json()["uploads"]
    assert upload["study_uid"] == derived_uid(clinic.tenant_id, "study", order_id)
    assert upload["image_uid"].startswith("2.25.")
    [again] = clinic.declare([file], radiology_order_id=order_id, images=[said]).json()["uploads"]
    assert again["id"] == upload["id"]
    assert clinic.send(upload["id"], file).json()["state"] == "stored"
    [image] = clinic.rows("SELECT * FROM radiology_image")
    assert (image.mime_type, image.checksum) == ("image/jpeg", hashlib.sha256(file).hexdigest())
    paths = {path.name: path.read_bytes() for path in clinic.objects()}
    assert paths["wound.jpg"] == file
    assert hashlib.sha256(paths["wound-wrapped.dcm"]).hexdigest() == image.wrapped_checksum
    [study] = clinic.rows("SELECT * FROM radiology_study")
    assert (study.patient_code, study.patient_name, study.modality) == ("P123", "Doe^Jo", "XC")


def test_what_is_declared_wrongly_names_its_field(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    cases = {
        "images.0": [{"mime_type": "application/dicom"}],
        "images.0.image_uid": [of_ct() | {"image_uid": "1.02.3"}],
        "images.0.checksum": [of_ct() | {"checksum": "abc"}],
        "images.0.file_size": [of_ct() | {"file_size": 0}],
        "images.0.mime_type": [of_ct() | {"mime_type": "text/html"}],
        "images.0.more": [of_ct() | {"more": 1}],
    }
    for field, images in cases.items():
        refused = clinic.declare([ct()], study_uid=STUDY, images=images)
        assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, field)
    twice = clinic.declare([ct(), ct()], study_uid=STUDY, images=[of_ct(), of_ct()])
    assert twice.json()["fields"][0]["field"] == "images.1.image_uid"
    theirs = clinic.declare([ct()], study_uid=STUDY, radiology_order_id=order_id, patient_id="P999", images=[of_ct()])
    assert theirs.json()["fields"][0]["field"] == "patient_id"
    assert clinic.declare([ct()], study_uid=STUDY, radiology_order_id=999, images=[of_ct()]).status_code == 404
    assert clinic.rows("SELECT 1 FROM image_upload") == []


def test_a_file_larger_than_is_accepted_is_refused_before_a_byte_of_it_is_sent(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_RADIOLOGY_LARGEST_MB", "1")
    settings.cache_clear()
    for size in (2**20 + 1, 10 * 10**12, 2**63, 10**30):
        images = [of_ct(1), of_ct(2) | {"file_size": size}]
        refused = clinic.declare([ct(1), ct(2)], study_uid=STUDY, images=images)
        assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "images.1.file_size"), size
        assert "LABWIRE_RADIOLOGY_LARGEST_MB" in refused.json()["fields"][0]["message"]
    assert clinic.rows("SELECT 1 FROM image_upload") == []
    largest = clinic.declare([ct(1)], study_uid=STUDY, images=[of_ct(1) | {"file_size": 2**20}])
    assert largest.status_code == 201, largest.text


def test_uploads_are_listed_by_state(clinic: Clinic) -> None:
    clinic.declare([ct(1), ct(2)], study_uid=STUDY, images=[of_ct(1), of_ct(2)])
    listed = clinic.technician.get("/api/v1/radiology/uploads", params={"study_uid": STUDY, "size": 1}).json()
    assert (listed["total"], len(listed["items"])) == (2, 1)
    assert clinic.technician.get("/api/v1/radiology/uploads?state=held").json()["total"] == 0
    assert clinic.doctor.get("/api/v1/radiology/uploads").status_code == 403
