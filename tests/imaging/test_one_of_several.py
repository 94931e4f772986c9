"""STOW-RS and the form: what is wrong with one file of a request is that one's, and what became of each is told."""

from collections.abc import Callable
from contextlib import nullcontext

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from api.imaging.failures import MISTAKE
from models.imaging.offers import Offer
from models.imaging.preparing import Preparing, Ready
from models.kernel.errors import RetryableError
from models.kernel.settings import settings
from tests.imaging.conftest import BINARIES, Clinic, form_of, related
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.imaging.lines import wait_until

pytestmark = pytest.mark.api
SECRET = "JANE-DOE-1970"
LARGE = ct(2, size=800)
"""More than 1 MB, which is what may come in the tests about it."""
Send = Callable[[Clinic, bytes], httpx.Response]


def stow(clinic: Clinic, body: bytes) -> httpx.Response:
    answer: httpx.Response = clinic.technician.post(
        "/dicom-web/studies", content=body, headers={"Content-Type": related([])[1]}
    )
    return answer


def form(clinic: Clinic, body: bytes) -> httpx.Response:
    answer: httpx.Response = clinic.technician.post(
        "/api/v1/radiology/images", content=body, headers={"Content-Type": form_of({})[1]}
    )
    return answer


def stow_body(*files: bytes) -> bytes:
    return related(list(files))[0]


def form_body(*files: bytes) -> bytes:
    return form_of({f"files{number}": file for number, file in enumerate(files)})[0]


DOORS = pytest.mark.parametrize(("send", "body_of"), [(stow, stow_body), (form, form_body)], ids=["stow", "form"])


def told(answer: httpx.Response) -> tuple[int, int, list[str]]:
    """Status, how many are stored, and why the others are not."""
    said = answer.json()
    if "files" in said:
        return answer.status_code, said["stored"], [one["error"] for one in said["files"] if not one["success"]]
    failed = [item for tag in ("00081198", "0008119A") for item in said.get(tag, {"Value": []})["Value"]]
    stored = len(said.get("00081199", {"Value": []})["Value"])
    return answer.status_code, stored, [item["00000902"]["Value"][0] for item in failed]


@DOORS
def test_one_that_is_too_large_is_told_of_and_the_others_are_stored(
    clinic: Clinic,
    monkeypatch: pytest.MonkeyPatch,
    asked_runs: list[str],
    send: Send,
    body_of: Callable[..., bytes],
) -> None:
    monkeypatch.setenv("LABWIRE_RADIOLOGY_LARGEST_MB", "1")
    settings.cache_clear()
    status, stored, reasons = told(send(clinic, body_of(ct(1), LARGE, ct(3))))
    assert (status, stored) == (202, 2)
    assert reasons == ["larger than is accepted (LABWIRE_RADIOLOGY_LARGEST_MB)"]
    wait_until(lambda: asked_runs == ["complete-uploads"])
    alone = send(clinic, body_of(LARGE))
    assert (alone.status_code, "LARGEST_MB" in alone.json()["error"]) == (413, True)
    assert len(clinic.objects()) == 2
    assert clinic.spool() == []


@DOORS
def test_a_body_that_ends_too_early_tells_of_what_was_whole(
    clinic: Clinic, asked_runs: list[str], send: Send, body_of: Callable[..., bytes]
) -> None:
    body = body_of(ct(1), ct(2), ct(3))
    status, stored, reasons = told(send(clinic, body[: -len(ct(3)) // 2]))
    assert (status, stored, len(reasons)) == (202, 2, 1)
    assert "ends before its last boundary" in reasons[0]
    wait_until(lambda: asked_runs == ["complete-uploads"])
    assert send(clinic, body_of(ct(4))[:-20]).status_code == 400
    assert len(clinic.objects()) == 2
    assert clinic.spool() == []


@DOORS
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ValueError(SECRET), 500, "Something went wrong on our side"),
        (OperationalError("SELECT 1", {"name": SECRET}, Exception(SECRET)), 503, "Not possible just now"),
        (RetryableError("the disk is full"), 503, ""),
    ],
)
def test_an_error_of_one_is_that_ones_and_of_all_the_requests(
    clinic: Clinic,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    send: Send,
    body_of: Callable[..., bytes],
    error: Exception,
    status: int,
    words: str,
) -> None:
    ready, taken = Preparing.ready, [0]

    def failing(self: Preparing, offer: Offer) -> Ready:
        taken[0] += 1
        if taken[0] == 2 or taken[0] > 3:
            raise error
        return ready(self, offer)

    with monkeypatch.context() as patched:
        patched.setattr(Preparing, "ready", failing)
        answer = send(clinic, body_of(ct(1), ct(2), ct(3)))
        assert told(answer)[:2] == (202, 2)
        assert told(answer)[2][0].startswith(words)
        with pytest.raises(ValueError, match=SECRET) if status == MISTAKE else nullcontext():
            assert send(clinic, body_of(ct(2))).status_code == status
    assert SECRET not in answer.text + caplog.text
    assert type(error).__name__ in caplog.text
    assert told(send(clinic, body_of(ct(2))))[:2] == (200, 1)
    assert clinic.spool() == []


def test_several_uploads_of_a_body_that_ends_too_early_are_told_of(clinic: Clinic, asked_runs: list[str]) -> None:
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in (1, 2)]
    uploads = clinic.declare([ct(1), ct(2)], study_uid=STUDY, images=images).json()["uploads"]
    body, content_type = form_of({one["id"]: ct(number) for number, one in enumerate(uploads, 1)})
    answer = clinic.technician.post(BINARIES, content=body[:-100], headers={"Content-Type": content_type})
    assert answer.status_code == 202, answer.text
    assert [(one["status"], one.get("field")) for one in answer.json()["uploads"]] == [(200, None), (400, "body")]
    wait_until(lambda: asked_runs == ["complete-uploads"])
    told = clinic.technician.get(f"/api/v1/radiology/uploads/{uploads[1]['id']}").json()
    assert (told["state"], told["received_bytes"] > len(ct(2)) // 2) == ("declared", True)


def test_a_picture_of_which_nothing_is_said_keeps_no_dicom_file_out(clinic: Clinic) -> None:
    status, stored, reasons = told(form(clinic, form_body(ct(1), picture(), ct(2))))
    assert (status, stored, len(reasons)) == (202, 2, 1)
    assert "needs an order" in reasons[0]
