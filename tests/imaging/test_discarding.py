"""An upload that is given up while it is being sent is discarded or stored, and never both."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from models.imaging.intake import Intake
from models.imaging.stores.uploads import Ending, give_up
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tasks.clients.storage.spool import spool_of
from tasks.imaging import completing
from tasks.imaging.completing import Completing
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.desks import at_desk
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api


def declared(clinic: Clinic, file: bytes) -> int:
    images = [{"series_uid": SERIES, "image_uid": f"{SERIES}.1"}]
    number: int = clinic.declare([file], study_uid=STUDY, images=images).json()["uploads"][0]["id"]
    return number


def discard(clinic: Clinic, number: int, by: TestClient | None = None) -> httpx.Response:
    address = f"/api/v1/radiology/uploads/{number}/discard"
    answer: httpx.Response = (by or clinic.technician).post(address, json={"note": "of another patient"})
    return answer


def around_the_put(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]) -> None:
    put = Intake._put

    def putting(intake: Intake, *args: Any) -> str:
        before()
        key = put(intake, *args)
        after()
        return key

    monkeypatch.setattr(Intake, "_put", putting)


def nothing() -> None:
    """Nothing."""


@pytest.mark.parametrize("when", ["before", "after"])
def test_while_it_is_being_stored_it_cannot_be_discarded(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    number, other, told = declared(clinic, ct()), clinic.person("radiology_technician"), list[int]()
    desk = at_desk(clinic, "radiology_technician")

    def meanwhile() -> None:
        refused = discard(clinic, number, other)
        told.extend((refused.status_code, int(refused.headers["Retry-After"])))
        told.append(desk.post(f"/radiology/uploads/{number}/discard", {"note": "x", "state": "declared"}).status)

    around_the_put(monkeypatch, *((meanwhile, nothing) if when == "before" else (nothing, meanwhile)))
    assert clinic.send(number, ct()).json()["state"] == "stored"
    assert told == [503, 1, 503]
    assert clinic.rows("SELECT state FROM image_upload") == [("stored",)]
    assert discard(clinic, number).status_code == 409
    assert [path.read_bytes() for path in clinic.objects()] == [ct()]
    assert clinic.spool() == []


@pytest.mark.parametrize("state", ["discarded", "expired"])
@pytest.mark.parametrize("is_there", [True, False], ids=["the image is there", "it is new"])
def test_an_upload_that_ended_under_its_transaction_stores_nothing(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, state: str, is_there: bool
) -> None:
    """By whatever else than a lock on its file: the row decides."""
    number = declared(clinic, ct())
    if is_there:
        clinic.stow(ct())
        clinic.rows("UPDATE radiology_image SET problem = 'missing' RETURNING 1")
    before = clinic.rows("SELECT * FROM radiology_image")

    def end() -> None:
        with tenant_session(clinic.tenant_id) as session:
            give_up(session, clinic.tenant_id, SYSTEM, number, Ending(state, "meanwhile"))

    around_the_put(monkeypatch, nothing, end)
    refused = clinic.send(number, ct())
    assert (refused.status_code, refused.json()["error"]) == (409, f"upload {number} has ended")
    assert clinic.rows("SELECT * FROM radiology_image") == before
    assert clinic.rows("SELECT state, image_id FROM image_upload") == [(state, None)]


def test_complete_uploads_leaves_what_ended_meanwhile(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    number = declared(clinic, ct())
    with spool_of(clinic.slug).opened(number) as growing:
        growing.write(ct(), 0)

    def end() -> None:
        with tenant_session(clinic.tenant_id) as session:
            give_up(session, clinic.tenant_id, SYSTEM, number, Ending("discarded", "meanwhile"))

    around_the_put(monkeypatch, nothing, end)
    assert completing.complete("", SYSTEM, Completing.finish).tally.problems == {}
    assert clinic.rows("SELECT 1 FROM radiology_image") == []
    assert completing.complete("", SYSTEM, Completing.sweep).tally.message == "files of ended uploads removed 1"


def test_between_two_halves_of_a_part_it_cannot_be_discarded(clinic: Clinic) -> None:
    file = ct(size=1024)
    number, technician = declared(clinic, file), clinic.technician
    token = make_token(clinic.tenant_id, int(technician.headers["X-Test-User"]))
    is_sent, goes_on = threading.Event(), threading.Event()

    def halves() -> Iterator[bytes]:
        yield file[:1_500_000]
        is_sent.set()
        goes_on.wait(20)
        yield file[1_500_000:]

    with served() as address, httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        answers: list[httpx.Response] = []
        path = f"/api/v1/radiology/uploads/{number}/binary"
        sending = threading.Thread(
            target=lambda: answers.append(client.patch(path, content=halves(), headers={"Upload-Offset": "0"}))
        )
        sending.start()
        assert is_sent.wait(20)
        while spool_of(clinic.slug).size_of(number) == 0:
            pass
        refused = discard(clinic, number)
        goes_on.set()
        sending.join()
    assert refused.status_code == 503
    assert (answers[0].status_code, answers[0].json()["state"]) == (200, "stored")


def test_discarding_makes_no_file_for_what_is_not_open(clinic: Clinic, make_clinic: Callable[[str], Clinic]) -> None:
    number = declared(clinic, ct())
    clinic.send(number, ct()[:100])
    south = make_clinic("south")
    assert discard(south, number).status_code == 404
    assert discard(clinic, number).status_code == 200
    assert discard(clinic, number).status_code == 409
    assert clinic.send(number, ct()[100:], 100).status_code == 409
    assert (clinic.spool(), south.spool()) == ([], [])
