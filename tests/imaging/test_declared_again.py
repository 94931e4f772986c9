"""Declared again: the same is the same upload, anything else is refused by the name of what differs."""

from typing import Any

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
IMAGE: dict[str, Any] = {"image_uid": f"{SERIES}.1", "series_uid": SERIES, "series_number": 1}
SAID: dict[str, Any] = {"study_uid": STUDY, "patient_id": "P123", "accession_number": "A7"}
CHANGES: tuple[tuple[str, Any], ...] = (
    ("patient_id", "P1"),
    ("patient_id", None),
    ("accession_number", "A8"),
    ("study_description", "Chest"),
    ("modality", "CT"),
    ("study_uid", "1.2.3"),
    ("radiology_order_id", 1),
    ("images.0.series_number", 7),
    ("images.0.series_number", None),
    ("images.0.series_uid", "1.2.4"),
    ("images.0.series_description", "Axial"),
    ("images.0.instance_number", 7),
    ("images.0.filename", "other.dcm"),
    ("images.0.file_size", 7),
    ("images.0.checksum", "0" * 64),
    ("images.0.mime_type", "image/png"),
)


def test_another_content_is_refused_by_its_name(clinic: Clinic) -> None:
    clinic.order(clinic.patient())
    first = clinic.declare([ct()], **SAID, images=[IMAGE | {}]).json()["uploads"][0]
    before = clinic.rows("SELECT * FROM image_upload")
    for field, value in CHANGES:
        of_image, _, name = field.rpartition(".")
        changed = {"images": [IMAGE | {name: value}]} if of_image else {"images": [IMAGE | {}], name: value}
        refused = clinic.declare([ct()], **SAID | changed)
        assert (field, refused.status_code, refused.json().get("error", "")) == (
            field,
            409,
            f"{field}: declared before with another",
        )
    assert clinic.rows("SELECT * FROM image_upload") == before
    again = clinic.declare([ct()], **SAID, images=[IMAGE | {}])
    assert [one["id"] for one in again.json()["uploads"]] == [first["id"]]
