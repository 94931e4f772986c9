"""Uploads as a dead process or a broken line leaves them, and the works of `complete-uploads` on them."""

import io
from typing import Any

import pydicom

from models.kernel.audit import SYSTEM
from tasks.clients.storage.spool import spool_of
from tasks.imaging import completing
from tasks.imaging.completing import Completing
from tasks.imaging.outcomes import UploadReport
from tasks.tally import Tally
from tests.imaging.conftest import Clinic

ALL = (Completing.finish, Completing.remind, Completing.expire, Completing.sweep)


def run(*works: completing.Work) -> Tally:
    return ended(*works).tally


def ended(*works: completing.Work) -> UploadReport:
    """The same with its table."""
    return completing.complete("", SYSTEM, *(works or ALL))


def came_to(report: UploadReport) -> list[tuple[Any, Any]]:
    return [(row["upload"], row["outcome"]) for row in report.rows()]


def declared(clinic: Clinic, *files: bytes) -> list[int]:
    """Uploads of these files whose bytes lie in the spool, as of an API process that died."""
    numbers = []
    for file in files:
        [upload] = declare(clinic, file)
        numbers.append(upload["id"])
        with spool_of(clinic.slug).opened(upload["id"]) as growing:
            growing.write(file, 0)
    return numbers


def declare(clinic: Clinic, *files: bytes, filename: str = "a.dcm") -> list[dict[str, Any]]:
    """Uploads of these files of one study, with the UIDs they have."""
    said = [pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True) for file in files]
    images = [
        {"image_uid": str(one.SOPInstanceUID), "series_uid": str(one.SeriesInstanceUID), "filename": filename}
        for one in said
    ]
    answer = clinic.declare(files, study_uid=str(said[0].StudyInstanceUID), images=images)
    assert answer.status_code == 201, answer.text
    uploads_made: list[dict[str, Any]] = answer.json()["uploads"]
    return uploads_made


def states(clinic: Clinic) -> list[str]:
    return [row.state for row in clinic.rows("SELECT state FROM image_upload ORDER BY id")]


def let_pass(clinic: Clinic, time: str) -> None:
    clinic.rows(
        f"UPDATE image_upload SET touched_at = touched_at - interval '{time}', "
        f"reminded_at = reminded_at - interval '{time}' RETURNING 1"
    )
