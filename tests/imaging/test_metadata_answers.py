"""Metadata of studies, series and instances: sent compressed as it is kept, with a validator, whoever asks and how."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from models.imaging.describing import Describing
from models.imaging.stores import descriptions
from models.imaging.tables import RadiologySeries
from models.kernel.errors import RetryableError
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api
SECOND = f"{STUDY}.2"
BASE = f"/dicom-web/studies/{STUDY}"
OF_STUDY, OF_SERIES = f"{BASE}/metadata", f"{BASE}/series/{SERIES}/metadata"
OF_INSTANCE = f"{BASE}/series/{SERIES}/instances/{SERIES}.2/metadata"
ALL = [OF_STUDY, OF_SERIES, OF_INSTANCE]
PLAIN = {"Accept-Encoding": "identity"}
Listed = list[dict[str, Any]]


@pytest.fixture
def http(clinic: Clinic) -> TestClient:
    """Of a study of two series, of two images and one."""
    clinic.stow(ct(1), ct(2), ct(3, series_uid=SECOND, SeriesNumber=2, SeriesDescription="Lung"))
    return clinic.technician


def raw(http: TestClient, path: str, **headers: str) -> tuple[bytes, Any]:
    """The answer's bytes as they travel, and its headers."""
    with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        return b"".join(answer.iter_raw()), answer.headers


def numbers(listed: Listed) -> list[int]:
    return [one["00200013"]["Value"][0] for one in listed]


def test_each_is_a_gzip_to_who_takes_it_and_the_same_json_to_others(http: TestClient) -> None:
    for path, expected in ((OF_STUDY, [1, 2, 3]), (OF_SERIES, [1, 2]), (OF_INSTANCE, [2])):
        for accept, kind in (("*/*", "application/dicom+json"), ("application/json", "application/json")):
            packed, headers = raw(http, path, Accept=accept)
            plain, plain_headers = raw(http, path, Accept=accept, **PLAIN)
            assert (headers["content-encoding"], headers["content-type"]) == ("gzip", kind)
            assert ("content-encoding" in plain_headers, plain_headers["content-type"]) == (False, kind)
            assert headers["vary"] == plain_headers["vary"] == "Accept, Accept-Encoding"
            assert headers["etag"] == plain_headers["etag"]
            assert gzip.decompress(packed) == plain, path
            assert numbers(json.loads(plain)) == expected
            assert http.get(path, headers={"Accept": accept}).content == plain


def test_who_has_it_is_told_so_until_an_image_comes(clinic: Clinic, http: TestClient) -> None:
    for path in ALL:
        etag = http.get(path).headers["etag"]
        for more in ({}, PLAIN):
            again = http.get(path, headers={"If-None-Match": f'"x", {etag}'} | more)
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), path
            assert again.headers["vary"] == "Accept, Accept-Encoding"
        assert http.get(path, headers={"If-None-Match": '"x"'}).status_code == 200
        assert http.head(path).headers["etag"] == etag
    before = http.get(OF_STUDY).headers["etag"]
    clinic.stow(ct(4, series_uid=SECOND, SeriesNumber=2))
    after = http.get(OF_STUDY, headers={"If-None-Match": before})
    assert (after.status_code, numbers(after.json())) == (200, [1, 2, 3, 4])
    assert after.headers["etag"] != before
    assert http.get(OF_STUDY, headers={"If-None-Match": after.headers["etag"]}).status_code == 304
    clinic.stow(ct(5, series_uid=f"{STUDY}.3", SeriesNumber=3))
    assert http.get(OF_STUDY, headers={"If-None-Match": after.headers["etag"]}).status_code == 200


def test_what_is_kept_is_neither_inflated_nor_compressed_for_a_client_that_takes_gzip(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {path: http.get(path).json() for path in ALL}
    with monkeypatch.context() as patched:
        for name in ("compressobj", "decompressobj"):
            patched.setattr(zlib, name, lambda *_: pytest.fail("it is sent as it is kept"))
        answers = {path: raw(http, path)[0] for path in ALL}
    assert {path: json.loads(gzip.decompress(answer)) for path, answer in answers.items()} == expected


def test_the_validator_of_a_study_needs_no_body(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = http.get(OF_STUDY).headers["etag"]
    monkeypatch.setattr(descriptions, "kept_metadata", lambda *_: pytest.fail("nothing is read of it"))
    assert http.get(OF_STUDY, headers={"If-None-Match": etag}).status_code == 304


def test_a_study_with_a_damaged_image_has_no_validator_until_it_is_sound(clinic: Clinic, http: TestClient) -> None:
    sound = http.get(OF_STUDY)
    damaged = next(path for path in clinic.objects() if path.parent.name == f"{SECOND}.3")
    damaged.unlink()
    assert http.get(f"{BASE}/series/{SECOND}/instances/{SECOND}.3").status_code == 500
    for encoding in ("gzip", "identity"):
        poor = http.get(OF_STUDY, headers={"Accept-Encoding": encoding, "If-None-Match": sound.headers["etag"]})
        assert (poor.status_code, numbers(poor.json()), "etag" in poor.headers) == (200, [1, 2, 3], False)
        assert ["00281050" in one for one in poor.json()] == [True, True, False]
    clinic.stow(ct(3, series_uid=SECOND, SeriesNumber=2, SeriesDescription="Lung"))
    again = http.get(OF_STUDY, headers={"If-None-Match": sound.headers["etag"]})
    assert (again.status_code, again.json()) == (200, sound.json())
    assert "etag" in again.headers


def test_rows_that_were_kept_in_the_earlier_forms_are_served(clinic: Clinic, http: TestClient) -> None:
    """A series as any gzip of its array, an image as the zlib of its object alone."""
    expected = {path: http.get(path).json() for path in ALL}
    _age(clinic, "series_metadata", "body_gzip", gzip.compress)
    _age(clinic, "image_description", "metadata_deflated", lambda array: zlib.compress(array[1:-1]))
    for encoding in ("gzip", "identity"):
        for path in ALL:
            answer = http.get(path, headers={"Accept-Encoding": encoding})
            assert (answer.json(), answer.headers.get("content-encoding", "identity")) == (expected[path], encoding)
            assert http.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    clinic.stow(ct(4))  # a series is made anew of images that were described before and since
    assert numbers(http.get(OF_STUDY).json()) == [1, 2, 4, 3]
    assert numbers(http.get(OF_STUDY, headers=PLAIN).json()) == [1, 2, 4, 3]


def _age(clinic: Clinic, table: str, column: str, old: Callable[[bytes], bytes]) -> None:
    for row in clinic.rows(f"SELECT id, {column} AS kept FROM {table}"):
        aged = old(gzip.decompress(bytes(row.kept)))
        clinic.rows(f"UPDATE {table} SET {column} = :aged WHERE id = :id RETURNING 1", aged=aged, id=row.id)


@pytest.mark.parametrize("refused", [1, 2])
def test_what_keeps_a_series_from_being_told_is_an_error_with_its_status(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    tell = Describing.series_metadata

    def told(describing: Describing, series: RadiologySeries) -> bytes:
        if series.series_number == refused:
            raise RetryableError("the parsers are busy", retry_after_seconds=3)
        return tell(describing, series)

    monkeypatch.setattr(Describing, "series_metadata", told)
    for more in ({}, PLAIN):
        answer = http.get(OF_STUDY, headers=more)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


def test_a_series_that_came_to_harm_after_the_others_breaks_the_answer(
    clinic: Clinic, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when the answer began: nobody takes what came for the whole."""
    token = make_token(clinic.tenant_id, int(http.headers["X-Test-User"]))
    http.get(OF_STUDY)
    tell = Describing.series_metadata

    def told(describing: Describing, series: RadiologySeries) -> bytes:
        if series.series_number == 2:
            raise RetryableError("gone")
        return tell(describing, series)

    monkeypatch.setattr(Describing, "series_metadata", told)
    with served() as address, httpx.Client(base_url=address, trust_env=False) as asking:
        asking.headers["Authorization"] = f"Bearer {token}"
        for more in ({}, PLAIN):
            with pytest.raises(httpx.RemoteProtocolError):
                asking.get(OF_STUDY, headers=more)
