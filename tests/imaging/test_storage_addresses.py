"""Signed addresses of S3: they let their bearer read one object until they expire, and nothing else."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from models.imaging.ports import JPEG
from models.kernel.errors import InvalidError
from tasks.clients.storage.s3 import S3Storage
from tasks.clients.storage.s3_bucket import Bucket
from tests.imaging.s3_servers import S3Server
from tests.imaging.storages import Content, new_key, new_slug

pytestmark = pytest.mark.contract


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content.random(tmp_path)


def signed(storage: S3Storage, key: str, seconds: int = 60, filename: str = "chest pa.dcm") -> str:
    url = storage.signed_url(key, seconds=seconds, filename=filename, mime_type=JPEG)
    assert url is not None
    return url


def test_a_signed_address_shows_the_image_under_its_name(swift: S3Server, content: Content) -> None:
    storage, key = S3Storage(new_slug(), swift.connected()), new_key()
    content.put(storage, key)
    answer = httpx.get(signed(storage, key))
    assert answer.status_code == 200
    assert answer.content == content.data
    assert answer.headers["content-type"] == JPEG
    assert answer.headers["content-disposition"] == 'inline; filename="chest_pa.dcm"'
    evil = httpx.get(signed(storage, key, filename='a".html\r\nX-Other: 1'))
    assert evil.headers["content-disposition"] == 'inline; filename="a_.html_X-Other_1"'
    assert "x-other" not in evil.headers
    part = httpx.get(signed(storage, key), headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content.data[10:20])


def test_nothing_but_reading_is_let_through(swift: S3Server, content: Content) -> None:
    storage, key = S3Storage(new_slug(), swift.connected()), new_key()
    content.put(storage, key)
    url = signed(storage, key)
    assert httpx.put(url, content=b"other").status_code == 403
    assert httpx.delete(url).status_code == 403
    assert httpx.post(url, content=b"other").status_code >= 400
    assert httpx.get(url).content == content.data


def test_a_tampered_address_opens_nothing(swift: S3Server, content: Content) -> None:
    slug, key = new_slug(), new_key()
    storage = S3Storage(slug, swift.connected())
    other = new_key()
    content.put(storage, key)
    content.put(storage, other)
    url = signed(storage, key)
    for wrong in (
        url.replace(key, other),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("image%2Fjpeg", "text%2Fhtml"),
        url.replace("inline", "attachment"),
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.split("?", 1)[0],
    ):
        assert wrong != url
        assert httpx.get(wrong).status_code in (400, 403)


def test_an_address_expires(swift: S3Server, content: Content) -> None:
    storage, key = S3Storage(new_slug(), swift.connected()), new_key()
    content.put(storage, key)
    url = signed(storage, key, seconds=1)
    time.sleep(2.1)
    assert httpx.get(url).status_code == 403
    for seconds in (0, -1, 8 * 86_400):
        with pytest.raises(InvalidError):
            signed(storage, key, seconds=seconds)


@pytest.mark.parametrize(
    ("domain", "host", "path"),
    [
        ("images.example.org", "images.example.org", "/radiology/"),
        ("images.example.org:8443", "images.example.org:8443", "/radiology/"),
        ("radiology.localhost", "radiology.localhost", "/"),
    ],
)
def test_browsers_are_sent_to_their_own_host(
    swift: S3Server, content: Content, domain: str, host: str, path: str
) -> None:
    """As behind a proxy that hands on the host it was asked for."""
    slug, key = new_slug(), new_key()
    storage = S3Storage(slug, Bucket(swift.account(domain=domain)))
    content.put(storage, key)
    at = urlsplit(signed(storage, key))
    assert (at.scheme, at.netloc, at.path) == ("http", host, f"{path}{slug}/{key}")
    answer = httpx.get(f"{swift.url}{at.path}?{at.query}", headers={"host": host})
    assert (answer.status_code, answer.content) == (200, content.data)
    assert httpx.get(f"{swift.url}{at.path}?{at.query}", headers={"host": "other.localhost"}).status_code != 200


def test_an_address_names_no_secret(swift: S3Server) -> None:
    url = signed(S3Storage(new_slug(), swift.connected()), new_key())
    assert swift.secret not in url
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
