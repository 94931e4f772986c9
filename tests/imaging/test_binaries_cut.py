"""A request of several files whose line breaks: what was whole is stored, of the next one what came is kept."""

import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import httpx
import pytest
from fastapi import Request

from api.imaging import binaries, receiving
from api.imaging.binaries import Binaries
from api.imaging.together import Outcome
from tests.api.helpers import make_token
from tests.imaging.conftest import BINARIES, Clinic, form_of
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.lines import cut, wait_until
from tests.vitals.serving import served

pytestmark = pytest.mark.api
FILES, CUTS = 24, 20
DELIMITER = len(b"\r\n--b0unda2y")
"""So many bytes may be the beginning of a boundary, and are waited with."""


@pytest.fixture
def address() -> Iterator[str]:
    with served() as url:
        yield url


class Watched:
    """Bytes that the API has read, and whether it is done with them."""

    def __init__(self) -> None:
        self.count, self.ended = 0, 0


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    seen, read = Watched(), Binaries.read

    async def counting(request: Request) -> AsyncIterator[bytes]:
        async with aclosing(receiving.pieces(request)) as stream:  # type: ignore[type-var] # it is a generator
            async for piece in stream:
                seen.count += len(piece)
                yield piece

    async def ending(self: Binaries, request: Request, boundary: bytes) -> list[tuple[int, Outcome]]:
        try:
            return await read(self, request, boundary)
        finally:
            seen.ended += 1

    monkeypatch.setattr(binaries, "pieces", counting)
    monkeypatch.setattr(Binaries, "read", ending)
    return seen


def places_in(files: dict[int, bytes]) -> dict[int, tuple[int, int]]:
    """Where each file's bytes begin in the body, and where it is known that they have ended."""
    places, at = {}, 0
    for upload_id, file in files.items():
        begin = at + len(form_of({upload_id: b""})[0]) - len(b"\r\n--b0unda2y--\r\n")
        at = begin + len(file) + 2
        places[upload_id] = (begin, at + len(b"--b0unda2y\r\n"))
    return places


def test_cut_anywhere_nothing_is_lost_or_doubled(clinic: Clinic, address: str, watched: Watched) -> None:
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))
    slices = [ct(number) for number in range(1, FILES + 1)]
    images = [{"image_uid": f"{SERIES}.{number + 1}", "series_uid": SERIES} for number in range(FILES)]
    declared = clinic.declare(slices, study_uid=STUDY, images=images).json()["uploads"]
    left = {one["id"]: file for one, file in zip(declared, slices, strict=True)}
    chance, stored, kept = random.Random(5), 0, 0
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
        for _ in range(CUTS):
            # Seldom far: the files should last.
            after = chance.randrange(1, min(len(form_of(left)[0]) - 20, 3 * len(slices[0])))
            body, content_type = form_of(left)
            ended, watched.count = watched.ended, 0
            with cut(address, token, f"POST {BINARIES}", {"Content-Type": content_type}, body, after=after):
                wait_until(lambda: watched.count == after)  # noqa: B023 # called at once
            wait_until(lambda: watched.ended > ended)  # noqa: B023 # the same
            for upload_id, (begin, end) in places_in(left).items():
                told = client.get(f"/api/v1/radiology/uploads/{upload_id}").json()
                came = max(0, min(after - begin, len(left[upload_id])))
                if end <= after:
                    assert told["state"] == "stored"
                    del left[upload_id]
                    stored += 1
                else:
                    assert told["state"] == "declared"
                    kept += came > DELIMITER
                    assert told["received_bytes"] >= max(0, came - DELIMITER), "what came is not here"
            assert len(clinic.rows("SELECT 1 FROM radiology_image")) == stored
        assert 0 < stored < FILES
        assert kept > 5, "hardly anything was cut in the middle"
        body, content_type = form_of(left)
        last = client.post(BINARIES, content=body, headers={"Content-Type": content_type})
    assert {one["upload"]["state"] for one in last.json()["uploads"]} == {"stored"}
    sums = sorted(hashlib.sha256(file).hexdigest() for file in slices)
    assert sorted(row.checksum for row in clinic.rows("SELECT checksum FROM radiology_image")) == sums
    assert sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in clinic.objects()) == sums
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(FILES,)]
    assert clinic.spool() == []
