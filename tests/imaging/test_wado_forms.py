"""DICOMweb: which form of an answer is chosen, what of it is told by HEAD, and which ranges there are."""

import httpx
import pytest
from starlette.testclient import TestClient

from tasks.clients.dicom.pool import ParserPool
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"


@pytest.fixture
def http(clinic: Clinic) -> TestClient:
    return clinic.technician


def test_a_range_is_of_octets_alone_and_needs_the_very_same_ones(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(ct(1))
    place = f"{PATH}/bulkdata/7FE00010"
    etag = http.get(place).headers["etag"]
    for condition, status in ((etag, 206), (f"W/{etag}", 200), ('"x"', 200)):
        answer = http.get(place, headers={"Range": "bytes=0-9", "If-Range": condition})
        assert answer.status_code == status, condition
    parts = {"Accept": 'multipart/related; type="application/octet-stream"'}
    whole = http.get(place, headers=parts)
    weak = whole.headers["etag"]
    assert weak.startswith("W/")  # its boundary is another one each time
    for more in ({}, {"If-Range": weak}):
        answer = http.get(place, headers=parts | {"Range": "bytes=0-9"} | more)
        assert (answer.status_code, len(answer.content)) == (200, len(whole.content))
        assert "content-range" not in answer.headers


CHOSEN = [
    ("", "*/*", "multipart/related"),
    ("", "application/dicom;q=0.1, */*", "multipart/related"),
    ("", 'multipart/related; type="application/dicom";q=0, */*', "application/dicom"),
    ("", 'multipart/related; type="application/dicom";q=0, multipart/related', ""),
    ("", 'multipart/related; type="application/dicom", application/dicom', "multipart/related"),
    ("", 'application/dicom, multipart/related; type="application/dicom"', "application/dicom"),
    ("/frames/1", "*/*", "multipart/related"),
    ("/frames/1", "multipart/*;q=0, */*", "application/octet-stream"),
    ("/frames/1", "application/octet-stream, */*;q=0.1", "application/octet-stream"),
    ("/bulkdata/7FE00010", "*/*", "application/octet-stream"),
    ("/bulkdata/7FE00010", "application/octet-stream;q=0, */*", "multipart/related"),
    ("/rendered", "image/jpeg;q=0, image/*", "image/png"),
    ("/rendered", "image/png, image/jpeg;q=0.9", "image/png"),
]


def test_the_most_specific_range_says_how_much_a_type_is_wanted(clinic: Clinic, http: TestClient) -> None:
    clinic.stow(ct(1))
    for suffix, accept, kind in CHOSEN:
        answer = http.get(PATH + suffix, headers={"Accept": accept})
        assert answer.status_code == (200 if kind else 406), (suffix, accept)
        assert not kind or answer.headers["content-type"].startswith(kind), (suffix, accept)


ACCEPTED = [
    ("application/dicom+json", 200, "application/dicom+json"),
    ("application/json", 200, "application/json"),
    ("*/*", 200, "application/dicom+json"),
    ("application/*", 200, "application/dicom+json"),
    ("text/html;q=0.2, application/json; q=0.9", 200, "application/json"),
    ("text/plain, application/dicom+json;q=0", 406, "application/json"),
    ("application/dicom+json;q=0, */*", 200, "application/json"),
    ("*/*, application/dicom+json;q=0", 200, "application/json"),
    ("application/dicom+json;q=0.1, application/*;q=0.2", 200, "application/json"),
    ("application/*;q=0, */*", 406, "application/json"),
    ("*/*;q=0", 406, "application/json"),
    ("application/json, application/dicom+json", 200, "application/json"),
    ('multipart/related; type="application/dicom+xml"', 406, "application/json"),
]


def test_the_client_chooses_among_json_types(clinic: Clinic) -> None:
    for accept, status, kind in ACCEPTED:
        answer = clinic.technician.get("/dicom-web/studies", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (status, kind), accept


HEADED = [
    *(
        "/studies",
        "/series",
        "/instances",
        f"/studies/{STUDY}",
        f"/studies/{STUDY}/series",
        f"/studies/{STUDY}/metadata",
    ),
    *(PATH.removeprefix("/dicom-web") + suffix for suffix in ("", "/metadata", "/frames/1", "/bulkdata/7FE00010")),
    *(PATH.removeprefix("/dicom-web") + suffix for suffix in ("/rendered", "/thumbnail", "/frames/1/rendered")),
]


def test_head_is_get_without_its_body(clinic: Clinic, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    clinic.stow(ct(1))
    http.get(f"{PATH}/metadata")
    token = make_token(clinic.tenant_id, int(http.headers["X-Test-User"]))
    monkeypatch.setattr(ParserPool, "render", lambda *given: pytest.fail("nothing is drawn for a HEAD"))
    with served() as address, httpx.Client(base_url=f"{address}/dicom-web", trust_env=False) as asking:
        asking.headers["Authorization"] = f"Bearer {token}"
        for path in HEADED:
            answer = asking.head(path)
            assert (answer.status_code, answer.content) == (200, b""), path
            if "rendered" in path or "thumbnail" in path:
                assert answer.headers["content-type"] == "image/jpeg"
                assert "content-length" not in answer.headers
                continue
            got = asking.get(path)
            for name in ("content-type", "content-length", "etag"):
                expected = got.headers.get(name, "").partition("; boundary=")[0]
                assert answer.headers.get(name, "").partition("; boundary=")[0] == expected, (path, name)
        missing = asking.head("/studies/1.2.3/metadata")
        assert (missing.status_code, missing.content) == (404, b"")
        for path, allowed in (
            ("/studies", "GET, HEAD, POST"),
            (f"/studies/{STUDY}", "GET, HEAD, POST"),
            (HEADED[6], "GET, HEAD"),
        ):
            answer = asking.delete(path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert asking.put(f"{address}/api/v1/me").headers["allow"] == "GET"
