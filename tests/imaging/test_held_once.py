"""The same bytes are held once, whichever door they come by and however often."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models.imaging.stores import uploads
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
OF_CT: dict[str, Any] = {"image_uid": f"{SERIES}.2", "series_uid": SERIES}
OTHER = ct(2, PatientID="P999")
"""Of another patient than the study's."""


def held(clinic: Clinic) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in clinic.rows("SELECT id, rule FROM image_upload WHERE state = 'held' ORDER BY id")]


def declare(clinic: Clinic, file: bytes, **more: Any) -> dict[str, Any]:
    answer = clinic.declare([file], study_uid=STUDY, images=[OF_CT | {}], **more)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()["uploads"][0]
    return told


def test_sent_twice_at_once_it_is_one_upload_with_one_file(clinic: Clinic) -> None:
    """Both have looked and found nothing held before either writes."""
    clinic.stow(ct(1))
    people = [clinic.person("radiology_technician") for _ in range(2)]
    with ThreadPoolExecutor(2) as threads, tenant_session(clinic.tenant_id) as session:
        session.execute(text("LOCK TABLE image_upload IN SHARE ROW EXCLUSIVE MODE"))
        answers = [threads.submit(clinic.stow, OTHER, by=person) for person in people]
        deadline = time.monotonic() + 20
        while clinic.rows("SELECT count(*) FROM pg_locks WHERE NOT granted") < [(2,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        session.rollback()
    assert [answer.result().status_code for answer in answers] == [409, 409]
    assert [rule for _, rule in held(clinic)] == ["study_of_another"]
    assert [path.name for path in clinic.spool()] == [str(held(clinic)[0][0])]
    assert len(audited(clinic.tenant_id, "image_upload.hold")) == 1


def test_declared_again_what_is_held_is_told_with_its_reason(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    first = declare(clinic, OTHER)
    assert clinic.send(first["id"], OTHER).json()["state"] == "held"
    for _ in range(2):
        told = declare(clinic, OTHER)
        assert (told["id"], told["state"], told["rule"]) == (first["id"], "held", "study_of_another")
        assert told["reason"]
        assert clinic.send(told["id"], OTHER).status_code == 409
    assert len(held(clinic)) == len(clinic.spool()) == len(clinic.rows("SELECT 1 FROM image_upload")) == 1
    assert declare(clinic, ct(2))["state"] == "declared", "other bytes are another file"


def test_what_another_door_holds_is_told_too(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    clinic.stow(OTHER)
    told = declare(clinic, OTHER)
    assert [(told["id"], told["rule"])] == held(clinic)


def test_declared_as_something_else_it_may_be_stored_though_it_is_held(clinic: Clinic) -> None:
    wrong, right = clinic.order(clinic.patient("P1")), clinic.order(clinic.patient())
    first = declare(clinic, ct(2), radiology_order_id=wrong)
    assert clinic.send(first["id"], ct(2)).json()["rule"] == "patient"
    second = declare(clinic, ct(2), radiology_order_id=right)
    assert (second["id"] != first["id"], clinic.send(second["id"], ct(2)).json()["state"]) == (True, "stored")


def test_declared_as_something_else_and_held_again_the_later_word_stays(clinic: Clinic) -> None:
    wrong, other = clinic.order(clinic.patient("P1")), clinic.order(clinic.patient("P2"))
    first, second = (
        clinic.send(declare(clinic, ct(2), radiology_order_id=order_id)["id"], ct(2)).json()
        for order_id in (wrong, other)
    )
    assert held(clinic) == [(second["id"], "patient")]
    assert clinic.rows("SELECT state, note, ended_at IS NOT NULL FROM image_upload WHERE id = :id", id=first["id"]) == [
        ("discarded", f"held again as upload {second['id']}", True)
    ]
    assert len(audited(clinic.tenant_id, "image_upload.discarded")) == 1


def test_held_at_once_by_two_doors_it_is_one_upload(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    upload = declare(clinic, OTHER)
    done: list[str] = []

    def hold() -> None:
        with tenant_session(clinic.tenant_id) as session:
            uploads.hold(session, clinic.tenant_id, SYSTEM, upload["id"], "patient")
        done.append("held")

    with tenant_session(clinic.tenant_id) as session:
        values = {"source": "stow", "study_uid": STUDY, "series_uid": SERIES, "image_uid": f"{SERIES}.2"}
        values |= {"filename": "a", "file_size": upload["file_size"], "mime_type": "application/dicom"}
        values["checksum"] = upload["checksum"]
        uploads.hold_new(session, clinic.tenant_id, SYSTEM, values, "study_of_another")
        thread = threading.Thread(target=hold)
        thread.start()
        deadline = time.monotonic() + 20
        while not clinic.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    thread.join(20)
    assert done == ["held"]
    assert held(clinic) == [(upload["id"], "patient")]


def test_the_database_itself_holds_the_same_bytes_once(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    clinic.stow(OTHER)
    again = """
    INSERT INTO image_upload (tenant_id, source, state, study_uid, series_uid, image_uid, filename, file_size,
                              mime_type, checksum, rule)
    SELECT tenant_id, source, 'held', study_uid, series_uid, image_uid, filename, file_size, mime_type, checksum, rule
    FROM image_upload RETURNING 1
    """
    with pytest.raises(IntegrityError, match="image_upload_held_key"):
        clinic.rows(again)
