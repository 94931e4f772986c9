"""What is served under /viewer/: files of a small made-up folder, never anything outside it, with headers that hold."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api import errors
from api.imaging import ohif
from api.imaging.ohif_files import STAMP, expected_stamp, is_ohif_here
from api.imaging.viewer_links import viewer_url
from api.middleware import Door
from models.kernel.settings import settings

pytestmark = pytest.mark.api

CODE = "app.bundle.0123456789abcdef.js"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Set-up's folder with a few small files, and a secret beside it."""
    made = tmp_path / "ohif"
    (made / "assets" / "images").mkdir(parents=True)
    (made / "index.html").write_text("<title>the viewer</title>")
    (made / CODE).write_text("code();")
    (made / f"{CODE}.gz").write_bytes(gzip.compress(b"code();"))
    (made / "app.bundle.css").write_text("p {}")
    (made / "0123456789abcdef.wasm").write_bytes(b"\0asm")
    (made / "assets" / "images" / "bone.png").write_bytes(b"\x89PNG")
    (made / STAMP).write_text(json.dumps(expected_stamp()))
    (tmp_path / "secret.txt").write_text("secret")
    (made / "link.txt").symlink_to(tmp_path / "nothing.txt")
    monkeypatch.setenv("LABWIRE_OHIF_DIR", str(made))
    settings.cache_clear()
    yield made
    settings.cache_clear()


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    """A browser before the router alone, behind the door every request passes."""
    app = FastAPI()
    errors.install(app)
    app.add_middleware(Door)
    app.include_router(ohif.router)
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as made:
        made.headers["Accept-Encoding"] = "identity"
        yield made


@pytest.mark.parametrize(
    ("name", "kind", "caching"),
    [
        (CODE, "text/javascript; charset=utf-8", ohif.FOREVER),
        ("0123456789abcdef.wasm", "application/wasm", ohif.FOREVER),
        ("app.bundle.css", "text/css; charset=utf-8", "no-cache"),
        ("assets/images/bone.png", "image/png", "no-cache"),
        ("index.html", "text/html; charset=utf-8", "no-cache"),
        ("app-config.js", "text/javascript; charset=utf-8", "no-cache"),
        ("", "text/html; charset=utf-8", "no-cache"),
    ],
)
def test_a_file_comes_with_its_type_and_is_kept_only_under_a_name_that_cannot_change(
    client: TestClient, name: str, kind: str, caching: str
) -> None:
    got = client.get(f"/viewer/{name}")
    assert (got.status_code, got.headers["content-type"], got.headers["cache-control"]) == (200, kind, caching)
    head = client.head(f"/viewer/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(got.content))


def test_what_is_no_file_is_a_page_of_the_viewer_but_a_missing_file_is_missing(client: TestClient) -> None:
    for address in ("/viewer/basic", "/viewer/basic?StudyInstanceUIDs=1.2.3", "/viewer/any/thing", "/viewer/1.2.3"):
        assert client.get(address).text == "<title>the viewer</title>"
    for address in ("/viewer/other.js", "/viewer/assets/none.png", "/viewer/link.txt"):
        assert client.get(address).status_code == 404
    there = client.get("/viewer?studyInstanceUIDs=1.2.3&token=t")
    assert (there.status_code, there.headers["location"]) == (308, "/viewer/?studyInstanceUIDs=1.2.3&token=t")


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "assets/..%2f..%2fsecret.txt",
        "..%5csecret.txt",
        "%2fetc/passwd",
        "/etc/passwd.txt",
        STAMP,
        f"{CODE}.gz",
    ],
)
def test_no_address_leads_out_of_the_folder_nor_to_what_is_not_meant_to_be_read(client: TestClient, path: str) -> None:
    got = client.get(f"/viewer/{path}")
    assert got.status_code == 404 or got.text == "<title>the viewer</title>"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_written_there(client: TestClient, method: str) -> None:
    assert client.request(method, f"/viewer/{CODE}").status_code == 405


def test_the_policy_lets_the_viewer_reach_only_us_and_be_in_no_frame(client: TestClient) -> None:
    for name in ("", CODE, "basic"):
        headers = client.get(f"/viewer/{name}").headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["connect-src"] == "'self' blob: data:"
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval' 'unsafe-eval'"
        assert not any("*" in part or "http" in part for part in policy.values())
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"


def test_a_browser_that_takes_gzip_gets_it_and_each_form_has_its_own_tag(client: TestClient) -> None:
    plain = client.get(f"/viewer/{CODE}")
    packed = client.get(f"/viewer/{CODE}", headers={"Accept-Encoding": "br, gzip;q=0.8"})
    refused = client.get(f"/viewer/{CODE}", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in refused.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.text == packed.text == refused.text == "code();"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] == refused.headers["etag"] != packed.headers["etag"]


def test_an_unchanged_file_is_not_sent_again_a_changed_one_is(client: TestClient, folder: Path) -> None:
    tag = client.get("/viewer/").headers["etag"]
    again = client.get("/viewer/", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert "content-security-policy" in again.headers
    (folder / "index.html").write_text("<title>another</title>")
    (folder / STAMP).unlink()
    (folder / STAMP).write_text(json.dumps(expected_stamp()))
    assert client.get("/viewer/", headers={"If-None-Match": tag}).text == "<title>another</title>"


def test_the_settings_name_our_own_dicomweb_and_no_host(client: TestClient) -> None:
    text = client.get("/viewer/app-config.js").text
    assert "qidoRoot: '/dicom-web'" in text
    assert "wadoRoot: '/dicom-web'" in text
    assert "showStudyList: false" in text
    assert "dicomUploadEnabled: false" in text
    assert "://" not in text


@pytest.mark.parametrize("state", ["absent", "older", "half"])
def test_where_it_was_not_fetched_the_answer_says_so(client: TestClient, folder: Path, state: str) -> None:
    stamp = {"older": json.dumps(expected_stamp() | {"preparation": 0}), "half": '{"package":'}.get(state)
    (folder / STAMP).unlink()
    if stamp:
        (folder / STAMP).write_text(stamp)
    assert not is_ohif_here()
    for name in ("", CODE, "app-config.js"):
        got = client.get(f"/viewer/{name}")
        page = client.get(f"/viewer/{name}", headers={"Accept": "text/html"})
        assert got.status_code == page.status_code == 404
        assert "labwire viewer fetch" in got.text
        assert "labwire viewer fetch" in page.text


def test_a_link_opens_the_study_in_the_viewer_that_is_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(f"LABWIRE_{name.upper()}", value)
        settings.cache_clear()
        return viewer_url("1.2.3", "a+b", 3600)

    query = "studyInstanceUIDs=1.2.3&token=a%2Bb&expires=3600"
    light = "https://lab.example/radiology/view/1.2.3?token=a%2Bb"
    assert link(public_url="https://lab.example/") == f"https://lab.example/viewer/?{query}"
    assert link(ohif_viewer_url="/viewer") == f"https://lab.example/viewer/?{query}"
    assert link(ohif_viewer_url="https://o.example/viewer/") == f"https://o.example/viewer/?{query}"
    assert link(ohif_viewer_url="https://o.example/v?site=a") == f"https://o.example/v?site=a&{query}"
    assert link(ohif_viewer_url="") == light
    (folder / STAMP).unlink()
    assert link(ohif_viewer_url="/viewer/") == light
    assert link(ohif_viewer_url="https://o.example/viewer/") == f"https://o.example/viewer/?{query}"
