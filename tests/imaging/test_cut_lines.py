"""A line that breaks: what came is kept, the rest is sent, and the image is there once with the right checksum."""

import hashlib
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import Request

from api.imaging import part_door, receiving
from tasks.clients.storage.growing import BusyError
from tasks.clients.storage.spool import spool_of
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic, form_of, related
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.lines import cut, wait_until
from tests.vitals.serving import served

pytestmark = pytest.mark.api


@pytest.fixture
def address() -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def token(clinic: Clinic) -> str:
    return make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))


def offset_of(client: httpx.Client, path: str) -> int:
    return int(client.head(path).headers["Upload-Offset"])


@dataclass
class Arrived:
    """Bytes of parts that the API has read, whatever it does with them."""

    count: int = 0


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch) -> Arrived:
    """Counts at the programs' door, so that a line is cut after the bytes came and not with them."""
    counted = Arrived()

    async def pieces(request: Request) -> AsyncIterator[bytes]:
        async with aclosing(receiving.pieces(request)) as stream:  # type: ignore[type-var] # it is a generator
            async for piece in stream:
                counted.count += len(piece)
                yield piece

    monkeypatch.setattr(part_door, "pieces", pieces)
    return counted


def is_let_go(clinic: Clinic, upload_id: int) -> bool:
    """Whether the request that was cut has ended: one that came before would be told to wait, and be cut unheard."""
    try:
        with spool_of(clinic.slug).opened(upload_id):
            return True
    except BusyError:
        return False


def places_of(file: bytes, cuts: int, seed: int) -> list[int]:
    """Distinct random positions over the whole file."""
    return sorted(random.Random(seed).sample(range(1, len(file)), cuts))


@pytest.mark.parametrize(("size", "cuts", "seed"), [(256, 50, 11), (1450, 6, 1)])
def test_cut_at_random_positions_it_goes_on_where_it_was_and_ends_as_one_image(
    clinic: Clinic, address: str, token: str, arrived: Arrived, size: int, cuts: int, seed: int
) -> None:
    file = ct(size=size)
    places = places_of(file, cuts, seed)
    gaps = [after - before for before, after in pairwise((0, *places))]
    assert (len(set(places)), min(gaps) > 0) == (cuts, True)
    assert len(file) < receiving.IN_MEMORY or max(gaps) > receiving.IN_MEMORY  # a part is cut that was half written
    declared = clinic.declare(
        [file], study_uid=STUDY, images=[{"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}]
    )
    upload_id = declared.json()["uploads"][0]["id"]
    path, seen = f"/api/v1/radiology/uploads/{upload_id}/binary", [0]
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:

        def has_grown(place: int) -> bool:
            seen.append(offset_of(client, path))
            return seen[-1] == place

        for before, place in pairwise((0, *places)):
            arrived.count = 0
            headers = {"Upload-Offset": before}
            with cut(address, token, f"PATCH {path}", headers, file[before:], after=place - before):
                wait_until(lambda: arrived.count == place - before)  # noqa: B023 # called at once
            wait_until(lambda: has_grown(place) and is_let_go(clinic, upload_id))  # noqa: B023 # the same
        assert seen == sorted(seen), "what was here is not here any more"
        assert set(seen) >= set(places)
        assert clinic.rows("SELECT 1 FROM radiology_image") == []
        last = client.patch(path, content=file[places[-1] :], headers={"Upload-Offset": str(places[-1])})
    assert (last.status_code, last.json()["state"]) == (200, "stored"), last.text
    assert [path.read_bytes() for path in clinic.objects()] == [file]
    assert clinic.rows("SELECT checksum FROM radiology_image") == [(hashlib.sha256(file).hexdigest(),)]
    assert clinic.spool() == []


def test_a_stow_request_that_breaks_keeps_what_was_whole_and_leaves_nothing_else(
    clinic: Clinic, address: str, token: str, asked_runs: list[str]
) -> None:
    files = [ct(number, size=800) for number in (1, 2, 3)]  # more than 1 MB, which is what waits in memory
    body, content_type = related(files)
    place = urlsplit(address)
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as line:
        line.sendall(head.encode() + body[: -len(files[2]) // 20])
        wait_until(lambda: len(clinic.spool()) == 3)
    wait_until(lambda: len(clinic.objects()) == 2 and clinic.spool() == [])
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(2,)]
    wait_until(lambda: asked_runs == ["complete-uploads"])
    assert clinic.stow(*files).status_code == 200
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(3,)]


def test_a_form_that_breaks_keeps_what_was_whole_and_leaves_nothing_else(
    clinic: Clinic, address: str, token: str, asked_runs: list[str]
) -> None:
    body, content_type = form_of({"first": ct(1, size=800), "second": ct(2, size=800)})
    headers = {"Content-Type": content_type}
    with cut(address, token, "POST /api/v1/radiology/images", headers, body, after=len(body) - 1000):
        wait_until(lambda: len(clinic.objects()) == 1 and len(clinic.spool()) == 1)
    wait_until(lambda: clinic.spool() == [])
    wait_until(lambda: asked_runs == ["complete-uploads"])
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(1,)]


def test_a_sender_from_whom_nothing_comes_is_let_go_with_what_came(
    clinic: Clinic, address: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "PATIENCE_SECONDS", 0.5)
    said = {"image_uid": f"{SERIES}.1", "series_uid": SERIES, "filename": "a.dcm"}
    [upload] = clinic.declare([ct()], study_uid=STUDY, images=[said]).json()["uploads"]
    place = urlsplit(address)
    head = (
        f"PATCH /api/v1/radiology/uploads/{upload['id']}/binary HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {token}\r\nUpload-Offset: 0\r\nContent-Length: {len(ct())}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0)), timeout=20) as line:
        line.sendall(head.encode() + ct()[:100])
        assert b" 503 " in line.recv(4096).split(b"\r\n")[0]
    assert clinic.send(upload["id"], ct()[100:], 100).json()["state"] == "stored"
