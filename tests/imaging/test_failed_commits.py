"""Bytes are put before the commit: what a failed commit leaves in storage is nobody's to write to."""

from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from models.imaging.stores import writing
from models.kernel.audit import SYSTEM
from tasks.imaging import scrubbing, strays
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
FILE = ct()


@pytest.fixture
def left_behind(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> int:
    """An upload whose object was put by a transaction that then failed; it is declared as before."""
    images = [{"series_uid": SERIES, "image_uid": f"{SERIES}.1"}]
    [upload] = clinic.declare([FILE], study_uid=STUDY, images=images).json()["uploads"]

    def fail(*args: object, **more: object) -> None:
        raise OperationalError("a statement", {}, Exception("the line to the database broke"))

    with monkeypatch.context() as broken:
        broken.setattr(writing, "put_many", fail)
        assert clinic.send(upload["id"], FILE).status_code == 503
    [kept], [spooled] = clinic.objects(), clinic.spool()
    assert kept.samefile(spooled)
    assert clinic.rows("SELECT state FROM image_upload") == [("declared",)]
    number: int = upload["id"]
    return number


def form(clinic: Clinic) -> None:
    files = {"files": ("image-0.dcm", FILE, "application/dicom")}
    assert clinic.technician.post("/api/v1/radiology/images", files=files).status_code == 200


def scrub(clinic: Clinic) -> None:
    made = scrubbing.begin("", SYSTEM, 30, full=False, most=1)
    scrubbing.look_through(made)
    assert made.tally.message == "orphans taken in 1"


@pytest.mark.parametrize("door", [form, scrub])
@pytest.mark.parametrize("other", [b"\0" * 500, b"\0" * len(FILE)], ids=["a part", "the whole"])
def test_an_image_taken_in_by_another_door_stays_whatever_is_sent_to_the_upload(
    clinic: Clinic,
    left_behind: int,
    monkeypatch: pytest.MonkeyPatch,
    door: Callable[[Clinic], None],
    other: bytes,
) -> None:
    monkeypatch.setattr(strays, "YOUNG_SECONDS", -1)
    door(clinic)
    assert clinic.send(left_behind, other).status_code == 422
    assert [path.read_bytes() for path in clinic.objects()] == [FILE]
    [image] = clinic.rows("SELECT id FROM radiology_image")
    served = clinic.technician.get(f"/api/v1/radiology/images/{image.id}/file")
    assert (served.status_code, served.content) == (200, FILE)
    assert clinic.send(left_behind, FILE).json()["state"] == "stored"
    assert clinic.spool() == []
    assert clinic.rows("SELECT problem FROM radiology_image") == [(None,)]


def test_the_same_upload_is_stored_by_the_next_try(clinic: Clinic, left_behind: int) -> None:
    assert clinic.send(left_behind, FILE[-10:], len(FILE) - 10).json()["state"] == "stored"
    assert [path.read_bytes() for path in clinic.objects()] == [FILE]
    assert clinic.spool() == []
