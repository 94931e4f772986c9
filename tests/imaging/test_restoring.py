"""What was lost or damaged in storage comes back when the same bytes are sent again, as often as that happens."""

import hashlib
from collections.abc import Callable

import pytest

from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from tasks.clients.storage import backends
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.s3 import S3Storage
from tasks.imaging import scrubbing
from tasks.imaging.objects import content_of
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture
from tests.imaging.storages import new_slug

pytestmark = pytest.mark.api
ROTTEN = ct().replace(b"Doe^Jo", b"Poe^Mo")


@pytest.fixture(params=["filesystem", "s3"])
def clinic(
    request: pytest.FixtureRequest, make_clinic: Callable[[str], Clinic], monkeypatch: pytest.MonkeyPatch
) -> Clinic:
    """A clinic that keeps its images here or there."""
    if request.param == "s3":
        for name, value in request.getfixturevalue("moto").environment().items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABWIRE_RADIOLOGY_STORAGE", request.param)
    settings.cache_clear()
    backends._s3.cache_clear()
    return make_clinic(new_slug())


def rot(clinic: Clinic, key: str, content: bytes = ROTTEN) -> None:
    """Other bytes of the same length where the object lies; what a store keeps beside them says what it said."""
    storage = storage_for_new(clinic.slug)
    if isinstance(storage, FilesystemStorage):
        path = storage.local_path(key)
        assert path is not None
        path.unlink()
        path.write_bytes(content)
        return
    assert isinstance(storage, S3Storage)
    named = storage._named(key)
    said = storage._client.head_object(**named)["Metadata"]
    storage._client.put_object(**named, Body=content, Metadata=said)


def scrubbed() -> str:
    made = scrubbing.begin("", SYSTEM, 30, full=True, most=1000)
    while scrubbing.check(made):
        pass
    return made.tally.message


def key(clinic: Clinic, column: str = "file_key") -> str:
    [found] = clinic.rows(f"SELECT {column} FROM radiology_image")[0]
    return str(found)


def problem(clinic: Clinic) -> str | None:
    [found] = clinic.rows("SELECT problem FROM radiology_image")
    told: str | None = found.problem
    return told


def test_however_often_an_image_is_damaged_it_comes_back_with_the_same_bytes(clinic: Clinic) -> None:
    clinic.stow(ct())
    keys = [key(clinic)]
    for number in range(4):
        rot(clinic, keys[-1])
        scrubbed()
        assert problem(clinic) == "corrupt"
        assert clinic.stow(ct()).status_code == 200, number
        keys.append(key(clinic))
        assert problem(clinic) is None
        served = clinic.technician.get("/api/v1/radiology/images/1/file")
        assert (served.status_code, served.content) == (200, ct()), number
        scrubbed()
        assert problem(clinic) is None
    assert len(set(keys)) == 5
    assert len({found.rpartition("/")[0] for found in keys}) == 1
    rot(clinic, keys[-1])
    scrubbed()
    rot(clinic, keys[1], ct())
    clinic.stow(ct())
    assert key(clinic) == keys[1]


def form(clinic: Clinic, order_id: int, **more: str) -> None:
    files = {"files": ("wound.jpg", picture(), "image/jpeg")}
    fields = {"radiology_order_id": str(order_id)} | more
    answer = clinic.technician.post("/api/v1/radiology/images", data=fields, files=files)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("damaged", ["file_key", "wrapped_key"])
def test_a_picture_wrapped_with_other_words_is_what_its_row_says(clinic: Clinic, damaged: str) -> None:
    order_id = clinic.order(clinic.patient(), modality="XC")
    form(clinic, order_id, series_description="Left hand")
    rot(clinic, key(clinic, damaged))
    scrubbed()
    assert problem(clinic) == "corrupt"
    form(clinic, order_id, series_description="The left hand, seen from above")
    [image] = clinic.rows("SELECT * FROM radiology_image")
    storage = storage_for_new(clinic.slug)
    assert content_of(storage, image.wrapped_key) == (image.wrapped_checksum, image.wrapped_size)
    assert content_of(storage, image.file_key) == (hashlib.sha256(picture()).hexdigest(), len(picture()))
    scrubbed()
    assert problem(clinic) is None
    [study] = clinic.rows("SELECT study_uid FROM radiology_study")
    path = f"/dicom-web/studies/{study.study_uid}"
    assert clinic.technician.get(f"{path}/rendered").status_code == 200
    [told] = clinic.technician.get(f"{path}/metadata").json()
    assert told["0008103E"]["Value"] == ["The left hand, seen from above"]
