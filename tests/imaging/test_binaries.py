"""Several declared files in one request: each ends as if it had been sent alone, and none keeps another one out."""

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from api.imaging import binaries, receiving
from models.imaging import intake as intake_module
from models.imaging.stores.writing_groups import finish_group
from models.kernel.errors import RetryableError
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.spool import spool_of
from tests.api.helpers import audited
from tests.imaging.conftest import BINARIES, Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.imaging.lines import wait_until

pytestmark = pytest.mark.api


def declared(clinic: Clinic, files: Mapping[int, bytes]) -> list[int]:
    """The uploads' numbers of slices by their number."""
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in files]
    answer = clinic.declare(list(files.values()), study_uid=STUDY, images=images)
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()["uploads"]]


def slices(count: int, **more: Any) -> dict[int, bytes]:
    return {number: ct(number, **more) for number in range(1, count + 1)}


def told(answer: Any) -> list[tuple[int, int, str | None]]:
    """Number, status and state of each upload."""
    return [(one["id"], one["status"], (one["upload"] or {}).get("state")) for one in answer.json()["uploads"]]


def noise(size: int) -> bytes:
    """A PNG as large as its pixels."""
    pixels, file = np.random.default_rng(3).integers(0, 255, (size, size), dtype="u1"), io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def checksums(clinic: Clinic) -> set[str]:
    rows = {row.checksum for row in clinic.rows("SELECT checksum FROM radiology_image")}
    assert rows == {hashlib.sha256(path.read_bytes()).hexdigest() for path in clinic.objects()}
    return rows


def sums(*files: bytes) -> set[str]:
    return {hashlib.sha256(file).hexdigest() for file in files}


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many groups of which size were committed by one transaction."""
    seen: Counter[int] = Counter()

    def counting(pipeline: Any, tenant_id: int, members: Any) -> None:
        seen[len(members)] += 1
        finish_group(pipeline, tenant_id, members)

    monkeypatch.setattr(intake_module, "finish_group", counting)
    return seen


def test_files_sent_together_are_stored_and_said_to_be_in_their_order(
    clinic: Clinic, groups: Counter[int], asked_runs: list[str]
) -> None:
    order_id = clinic.order(clinic.patient())
    files = slices(9)
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES, "filename": "a b.dcm"} for number in files]
    answer = clinic.declare(list(files.values()), study_uid=STUDY, radiology_order_id=order_id, images=images)
    ids = [one["id"] for one in answer.json()["uploads"]]
    sent = dict(reversed(list(zip(ids, files.values(), strict=True))))
    stored = clinic.send_together(sent)
    assert stored.status_code == 200, stored.text
    assert told(stored) == [(upload_id, 200, "stored") for upload_id in sent]
    for one in stored.json()["uploads"]:
        upload = one["upload"]
        assert (upload["id"], upload["received_bytes"], one["error"]) == (one["id"], len(sent[one["id"]]), None)
        [image] = clinic.rows("SELECT * FROM radiology_image WHERE id = :id", id=upload["image_id"])
        assert (image.checksum, image.source) == (*sums(sent[one["id"]]), "sync")
    assert checksums(clinic) == sums(*files.values())
    assert clinic.rows("SELECT image_count, radiology_order_id FROM radiology_study") == [(9, order_id)]
    assert clinic.rows("SELECT DISTINCT state FROM image_upload") == [("stored",)]
    assert len(audited(clinic.tenant_id, "image.store")) == 9
    assert clinic.spool() == []
    assert groups[8] == 1, "the first slice makes the place of the others, which are stored together"
    wait_until(lambda: len(asked_runs) == 1)


def test_what_keeps_one_out_is_said_of_that_one(clinic: Clinic) -> None:
    files = slices(8)
    ids = declared(clinic, files)
    sent = dict(zip(ids, files.values(), strict=True))
    sent[ids[1]] = bytes(reversed(files[2]))  # damaged on the way
    sent[ids[2]] = files[3] + b"more"
    sent[ids[3]] = files[4][:100]
    clinic.technician.post(f"/api/v1/radiology/uploads/{ids[4]}/discard", json={"note": "gone"})
    clinic.send(ids[5], files[6])
    sent[987654] = files[1]
    answer = clinic.send_together(sent)
    assert answer.status_code == 202, answer.text
    assert told(answer) == [
        (ids[0], 200, "stored"),
        (ids[1], 422, None),
        (ids[2], 422, None),
        (ids[3], 200, "declared"),
        (ids[4], 409, None),
        (ids[5], 200, "stored"),
        (ids[6], 200, "stored"),
        (ids[7], 200, "stored"),
        (987654, 404, None),
    ]
    fields = [one["field"] for one in answer.json()["uploads"]]
    assert (fields[1], fields[2]) == ("checksum", "file_size")
    assert answer.json()["uploads"][3]["upload"]["received_bytes"] == 100
    heads = [clinic.technician.head(f"/api/v1/radiology/uploads/{one}/binary") for one in ids[1:4]]
    assert [head.headers["Upload-Offset"] for head in heads] == ["0", "0", "100"]
    again = clinic.send_together({ids[1]: files[2], ids[2]: files[3]})
    assert told(again) == [(ids[1], 200, "stored"), (ids[2], 200, "stored")]
    assert clinic.send(ids[3], files[4][100:], 100).json()["state"] == "stored"
    assert checksums(clinic) == sums(*(file for number, file in files.items() if number != 5))
    assert clinic.spool() == []


def test_one_that_a_rule_keeps_out_is_held_and_the_others_are_stored(clinic: Clinic) -> None:
    files = slices(4)
    files[2] = ct(9)  # declared as the second slice
    ids = declared(clinic, files)
    answer = clinic.send_together(dict(zip(ids, files.values(), strict=True)))
    assert (answer.status_code, [one[2] for one in told(answer)]) == (200, ["stored", "held", "stored", "stored"])
    assert answer.json()["uploads"][1]["upload"]["rule"] == "uids"
    assert [path.read_bytes() for path in clinic.spool()] == [files[2]]
    assert len(checksums(clinic)) == 3


def test_large_and_small_ones_pictures_and_slices_go_together(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    files = [ct(1), ct(2, size=900), picture(), ct(3)]
    assert len(files[1]) > receiving.IN_MEMORY > len(files[2])
    slice_of = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in (1, 2, 3)]
    images = [slice_of[0], slice_of[1], {"mime_type": "image/jpeg", "filename": "a.jpg"}, slice_of[2]]
    answer = clinic.declare(files, study_uid=STUDY, radiology_order_id=order_id, images=images)
    ids = [one["id"] for one in answer.json()["uploads"]]
    stored = clinic.send_together(dict(zip(ids, files, strict=True)))
    assert told(stored) == [(upload_id, 200, "stored") for upload_id in ids], stored.text
    assert {row.checksum for row in clinic.rows("SELECT checksum FROM radiology_image")} == sums(*files)


@pytest.mark.parametrize("size", [64, 1300])
def test_a_picture_among_slices_is_their_patients_and_of_their_day(clinic: Clinic, size: int) -> None:
    """It takes what its study says by then: not what it says before the slices that came first are stored."""
    photo = noise(size)
    assert (len(photo) > receiving.IN_MEMORY) == (size == 1300)
    patient_id, wrapped = clinic.patient(), []
    for study_uid, is_together in (("1.2.3", False), ("1.2.4", True)):
        files = [*(ct(number, study_uid=study_uid, series_uid=f"{study_uid}.1") for number in (1, 2, 3)), photo]
        images: list[dict[str, Any]] = [
            *({"image_uid": f"{study_uid}.1.{number}", "series_uid": f"{study_uid}.1"} for number in (1, 2, 3)),
            {"mime_type": "image/png", "filename": "a.png"},
        ]
        order_id = clinic.order(patient_id)
        answer = clinic.declare(files, study_uid=study_uid, radiology_order_id=order_id, images=images)
        ids = [one["id"] for one in answer.json()["uploads"]]
        if is_together:
            told_of = [one[2] for one in told(clinic.send_together(dict(zip(ids, files, strict=True))))]
        else:
            told_of = [clinic.send(*one).json()["state"] for one in zip(ids, files, strict=True)]
        assert told_of == ["stored"] * 4
        query = "SELECT wrapped_key FROM radiology_image WHERE wrapped_key LIKE :key"
        [[key]] = clinic.rows(query, key=f"%/{study_uid}/%")
        wrapped.append(dcmread(clinic.media / clinic.slug / key, stop_before_pixels=True))
    said = ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "StudyDescription", "Modality")
    alone, together = ({name: str(image[name].value) for name in said} for image in wrapped)
    assert together == alone
    assert (alone["PatientName"], alone["StudyDate"]) == ("Doe^Jo", "20260115")


def test_a_large_one_that_is_kept_out_is_passed_over(clinic: Clinic) -> None:
    files = {1: ct(1), 2: ct(2, size=1300), 3: ct(3, size=900), 4: ct(4)}
    ids = declared(clinic, files)
    clinic.technician.post(f"/api/v1/radiology/uploads/{ids[1]}/discard", json={"note": "gone"})
    clinic.send(ids[2], files[3])
    answer = clinic.send_together(dict(zip(ids, files.values(), strict=True)))
    assert told(answer) == [
        (ids[0], 200, "stored"),
        (ids[1], 409, None),
        (ids[2], 200, "stored"),
        (ids[3], 200, "stored"),
    ]
    assert clinic.spool() == []


def test_another_laboratorys_upload_is_not_there_and_the_asking_is_noted(clinic: Clinic, make_clinic: Any) -> None:
    other = make_clinic("other-clinic")
    [theirs] = declared(other, {1: ct(1)})
    [ours] = declared(clinic, {1: ct(1)})
    answer = clinic.send_together({theirs: ct(1), ours: ct(1)})
    assert (answer.status_code, told(answer)) == (202, [(theirs, 404, None), (ours, 200, "stored")])
    assert [row.changes["reason"] for row in audited(clinic.tenant_id, "access.refused")] == ["not of this tenant"]
    assert (other.rows("SELECT state FROM image_upload"), other.spool()) == ([("declared",)], [])
    assert clinic.spool() == []


def test_one_that_somebody_else_sends_is_to_come_again(clinic: Clinic) -> None:
    ids = declared(clinic, slices(2))
    with spool_of(clinic.slug).opened(ids[0]):
        answer = clinic.send_together({ids[0]: ct(1), ids[1]: ct(2)})
        assert told(answer) == [(ids[0], 503, None), (ids[1], 200, "stored")]
        alone = clinic.send_together({ids[0]: ct(1)})
        assert (alone.status_code, "Retry-After" in alone.headers) == (503, True)
    assert told(clinic.send_together({ids[0]: ct(1)})) == [(ids[0], 200, "stored")]


def test_a_disk_that_fails_loses_none(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    files = slices(5)
    ids = declared(clinic, files)
    sent = dict(zip(ids, files.values(), strict=True))
    with monkeypatch.context() as patched:

        def failing(*_: Any, **__: Any) -> None:
            raise RetryableError("the disk is full")

        patched.setattr(FilesystemStorage, "put", failing)
        assert clinic.send_together(sent).status_code == 503
    assert clinic.rows("SELECT 1 FROM radiology_image") == []
    assert told(clinic.send_together(sent)) == [(upload_id, 200, "stored") for upload_id in ids]
    assert checksums(clinic) == sums(*files.values())


@pytest.mark.parametrize("name", ["", "0", "-1", "x", "1.5", "٣", "9" * 19, "9" * 40])
def test_a_name_that_is_no_number_is_refused_and_what_came_before_is_stored(clinic: Clinic, name: str) -> None:
    [upload_id] = declared(clinic, {1: ct(1)})
    answer = clinic.send_together({upload_id: ct(1), name: ct(2)})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "name")
    assert len(checksums(clinic)) == 1


def test_twice_too_many_or_nothing_in_one_request(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = declared(clinic, slices(3))
    twice = clinic.send_together({ids[0]: ct(1), f"0{ids[0]}": ct(1)})
    assert (twice.status_code, twice.json()["fields"][0]["message"]) == (422, "comes twice in one request")
    monkeypatch.setattr(binaries, "MOST_FILES", 2)
    many = clinic.send_together(dict(zip(ids, slices(3).values(), strict=True)))
    assert [one["status"] for one in many.json()["uploads"]] == [200, 200, 413]
    assert (many.status_code, len(checksums(clinic))) == (202, 2)
    none = clinic.send_together({})
    assert none.status_code == 422
    plain = clinic.technician.post(BINARIES, content=b"x", headers={"Content-Type": "application/octet-stream"})
    assert (plain.status_code, "multipart/form-data" in plain.json()["error"]) == (400, True)
