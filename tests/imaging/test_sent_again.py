"""The same bytes again: nothing is stored twice, and an order that is named now counts as with the first."""

import threading
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, fresh_uid, picture

pytestmark = pytest.mark.api
OF_CT = {"image_uid": f"{SERIES}.1", "series_uid": SERIES}


def form(clinic: Clinic, file: bytes, **fields: Any) -> httpx.Response:
    data = {name: str(value) for name, value in fields.items()}
    files = [("files", ("a.dcm", file))]
    answer: httpx.Response = clinic.technician.post("/api/v1/radiology/images", data=data, files=files)
    return answer


def orders(clinic: Clinic) -> list[tuple[str, str | None]]:
    """The state of each order and the UID of its study."""
    query = """
    SELECT o.state, s.study_uid FROM radiology_order o LEFT JOIN radiology_study s ON s.radiology_order_id = o.id
    ORDER BY o.id
    """
    return [tuple(row) for row in clinic.rows(query)]


def test_the_order_that_is_named_the_second_time_gets_the_study(clinic: Clinic) -> None:
    clinic.stow(ct())
    order_id = clinic.order(clinic.patient())
    answer = form(clinic, ct(), radiology_order_id=order_id)
    assert (answer.status_code, answer.json()["files"][0]["is_new"]) == (200, False)
    assert orders(clinic) == [("performed", STUDY)]
    [assigned] = audited(clinic.tenant_id, "radiology_study.assign")
    assert assigned.changes["order"] == order_id
    assert len(audited(clinic.tenant_id, "radiology_order.perform")) == 1
    assert form(clinic, ct(), radiology_order_id=order_id).status_code == 200
    assert [len(audited(clinic.tenant_id, name)) for name in ("radiology_study.assign", "image.store")] == [1, 1]
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(1,)]


def test_an_order_made_since_is_found_by_accession_number_and_patient(clinic: Clinic) -> None:
    clinic.stow(ct(AccessionNumber="A7"))
    clinic.order(clinic.patient(), accession_number="A7")
    assert clinic.stow(ct(AccessionNumber="A7")).status_code == 200
    assert orders(clinic) == [("performed", STUDY)]


def test_the_order_of_another_patient_holds_it(clinic: Clinic) -> None:
    clinic.stow(ct())
    order_id = clinic.order(clinic.patient("P2"))
    answer = form(clinic, ct(), radiology_order_id=order_id)
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    assert clinic.rows("SELECT state, rule FROM image_upload") == [("held", "patient")]
    assert orders(clinic) == [("ordered", None)]


def test_an_order_that_has_another_study_or_is_not_the_studys_holds_it(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    first, second = clinic.order(patient_id), clinic.order(patient_id)
    form(clinic, ct(), radiology_order_id=first)
    other = ct(study_uid="1.2.3", series_uid="1.2.3.1")
    clinic.stow(other)
    rules = [
        form(clinic, file, radiology_order_id=order_id).json()["files"][0]["rule"]
        for file, order_id in ((other, first), (ct(), second))
    ]
    assert rules == ["order_taken", "order_differs"]
    assert orders(clinic) == [("performed", STUDY), ("ordered", None)]


def test_an_order_that_is_not_there_is_not_found(clinic: Clinic) -> None:
    clinic.stow(ct())
    assert form(clinic, ct(), radiology_order_id=999).status_code == 404


def test_declared_for_an_order_the_stored_image_is_sent_again_and_its_study_assigned(clinic: Clinic) -> None:
    clinic.stow(ct())
    order_id = clinic.order(clinic.patient())
    declared = clinic.declare([ct()], study_uid=STUDY, radiology_order_id=order_id, images=[OF_CT | {}])
    [upload] = declared.json()["uploads"]
    assert upload["state"] == "declared"
    sent = clinic.send(upload["id"], ct()).json()
    assert (sent["state"], sent["image_id"]) == ("stored", clinic.rows("SELECT id FROM radiology_image")[0][0])
    assert orders(clinic) == [("performed", STUDY)]
    assert clinic.rows("SELECT state, image_id IS NOT NULL FROM image_upload") == [("stored", True)]
    assert clinic.spool() == []
    again = clinic.declare([ct()], study_uid=STUDY, radiology_order_id=order_id, images=[OF_CT | {}])
    assert [(one["id"], one["state"]) for one in again.json()["uploads"]] == [(upload["id"], "stored")]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"study_uid": "1.2.3"}, "study_uid"),
        ({"patient_id": "P999"}, "patient_id"),
        ({"radiology_order_id": 2}, "radiology_order_id"),
        ({"series_uid": "1.2.4"}, "images.0.series_uid"),
    ],
)
def test_what_is_stored_as_something_else_is_not_told_as_stored(
    clinic: Clinic, said: dict[str, Any], field: str
) -> None:
    patient_id = clinic.patient()
    first, _ = clinic.order(patient_id), clinic.order(patient_id)
    form(clinic, ct(), radiology_order_id=first)
    image = OF_CT | {name: said[name] for name in said if name == "series_uid"}
    given = {"study_uid": STUDY} | {name: said[name] for name in said if name != "series_uid"}
    refused = clinic.declare([ct()], images=[image], **given)
    assert (refused.status_code, field in refused.text) == (409, True), refused.text
    assert clinic.rows("SELECT 1 FROM image_upload") == []


def test_a_picture_declared_for_two_orders_under_one_uid_stays_where_it_is(clinic: Clinic) -> None:
    first, second = clinic.order(clinic.patient("PA")), clinic.order(clinic.patient("PB"))
    file, said = picture(), {"mime_type": "image/jpeg", "image_uid": fresh_uid()}
    upload = clinic.declare([file], radiology_order_id=first, images=[said | {}]).json()["uploads"][0]
    assert clinic.send(upload["id"], file).json()["state"] == "stored"
    refused = clinic.declare([file], radiology_order_id=second, images=[said | {}])
    assert refused.status_code == 409
    assert [state for state, _ in orders(clinic)] == ["performed", "ordered"]


def test_of_two_orders_named_at_once_for_a_stored_study_one_gets_it(clinic: Clinic) -> None:
    """The order before the study, as everybody locks them: whoever holds the study may yet ask for nothing else."""
    clinic.stow(ct())
    patient_id = clinic.patient()
    named = [clinic.order(patient_id), clinic.order(patient_id)]
    people = [clinic.person("radiology_technician") for _ in named]
    answers: list[httpx.Response] = []

    def send(order_id: int, person: Any) -> None:
        files = [("files", ("a.dcm", ct()))]
        answers.append(person.post("/api/v1/radiology/images", data={"radiology_order_id": str(order_id)}, files=files))

    threads = [threading.Thread(target=send, args=pair) for pair in zip(named, people, strict=True)]
    with tenant_session(clinic.tenant_id) as session:
        session.execute(text("SELECT FROM radiology_study FOR NO KEY UPDATE"))
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while clinic.rows("SELECT count(*) FROM pg_locks WHERE NOT granted") < [(2,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    for thread in threads:
        thread.join(20)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert sorted(state for state, _ in orders(clinic)) == ["ordered", "performed"]
    assert clinic.rows("SELECT rule FROM image_upload") == [("order_differs",)]
