"""What the S3 backend promises besides: checksums, conditions, parts that are given up, errors by what helps."""

import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse

from deployments.launcher.postgres import free_port
from models.imaging.ports import KeyTakenError
from models.kernel.errors import ConfigError, InvalidError, LabwireError, RetryableError, UnavailableError
from tasks.clients.storage import s3_bucket
from tasks.clients.storage.s3 import S3Storage
from tasks.clients.storage.s3_bucket import Bucket
from tests.imaging.s3_servers import PART_BYTES, S3Server
from tests.imaging.storages import Content, keys, new_key, new_slug, read

pytestmark = pytest.mark.contract


@pytest.fixture(params=["moto", "swift"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content.random(tmp_path)


def in_parts(bucket: Bucket, slug: str = "") -> S3Storage:
    return S3Storage(slug or new_slug(), bucket, single_largest=PART_BYTES, part_bytes=PART_BYTES)


def calls_of(storage: S3Storage, content: Content) -> list[Callable[[], object]]:
    key = new_key()
    return [
        lambda: content.put(storage, key),
        lambda: read(storage, key),
        lambda: storage.stat(key),
        lambda: keys(storage),
        lambda: storage.remove(key),
        lambda: storage.sweep(older_than_seconds=0),
    ]


def test_bytes_that_are_not_what_their_checksum_says_are_refused_by_the_server(
    swift: S3Server, content: Content
) -> None:
    storage, key = S3Storage(new_slug(), swift.connected()), new_key()
    with pytest.raises(InvalidError):
        content.put(storage, key, sha256="0" * 64)
    assert storage.stat(key) is None


def test_a_file_of_many_parts_that_is_not_what_its_checksum_says_gets_no_name(server: S3Server, tmp_path: Path) -> None:
    storage, key = in_parts(server.connected()), new_key()
    with pytest.raises(InvalidError):
        Content.random(tmp_path, PART_BYTES + 1).put(storage, key, sha256="0" * 64)
    assert storage.stat(key) is None
    assert unfinished(storage) == []


def test_what_others_put_there_is_read_to_be_compared(server: S3Server, content: Content, tmp_path: Path) -> None:
    bucket, slug, key = server.connected(), new_slug(), new_key()
    storage = S3Storage(slug, bucket)
    bucket.client.put_object(Bucket=bucket.name, Key=f"{slug}/{key}", Body=content.data)
    assert not content.put(storage, key)
    with pytest.raises(KeyTakenError):
        Content.random(tmp_path).put(storage, key)


def test_what_is_hidden_is_not_listed(server: S3Server, content: Content) -> None:
    bucket, slug, key = server.connected(), new_slug(), new_key()
    storage = S3Storage(slug, bucket)
    bucket.is_conditional = None  # asked again, with an object of its own
    content.put(storage, key)
    bucket.client.put_object(Bucket=bucket.name, Key=f"{slug}/.uploads/one", Body=b"")
    assert bucket.is_conditional
    assert keys(storage) == [key]


def test_more_objects_than_a_page_holds_are_all_listed(moto: S3Server, content: Content) -> None:
    storage = S3Storage(new_slug(), moto.connected())
    pages = storage._client.get_paginator("list_objects_v2")
    made = sorted(new_key() for _ in range(7))
    for key in made:
        content.put(storage, key)
    pages_of_two: Callable[..., Any] = lambda **named: pages.paginate(**named, PaginationConfig={"PageSize": 2})  # noqa: E731
    assert len(list(pages_of_two(Bucket=moto.bucket, Prefix=storage._prefix))) == 4
    assert keys(storage) == made


def test_parts_of_an_upload_that_broke_off_are_given_up(server: S3Server, tmp_path: Path) -> None:
    bucket = Bucket(server.account())
    storage, key = in_parts(bucket), new_key()
    content = Content.random(tmp_path, 2 * PART_BYTES + 1)
    sent = itertools.count()

    def breaking(request: AWSRequest, **_: object) -> None:
        if next(sent) >= 1:
            raise ConnectionAbortedError("the line broke")

    bucket.client.meta.events.register("before-send.s3.UploadPart", breaking)
    with pytest.raises(LabwireError):
        content.put(storage, key)
    assert storage.stat(key) is None
    assert unfinished(storage) == []


def test_uploads_that_a_killed_process_left_are_swept_when_old(swift: S3Server) -> None:
    bucket, slug = swift.connected(), new_slug()  # moto tells no time of their beginning
    storage, neighbour = in_parts(bucket, slug), in_parts(bucket, f"{slug}-2")
    for one in (storage, neighbour):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=one._prefix + new_key())
    assert storage.sweep(older_than_seconds=3600) == 0
    assert len(unfinished(storage)) == 1
    time.sleep(1.1)  # a server tells whole seconds
    assert storage.sweep(older_than_seconds=0) == 1
    assert unfinished(storage) == []
    assert len(unfinished(neighbour)) == 1


@pytest.mark.parametrize("answer", ["ignored", "501"])
def test_a_store_without_conditions_still_replaces_nothing(
    server: S3Server, tmp_path: Path, content: Content, answer: str
) -> None:
    bucket = Bucket(server.account())
    if answer == "ignored":
        bucket.client.meta.events.register("before-sign.s3", _without_condition)
    else:
        bucket.client.meta.events.register("before-send.s3", _not_implemented)
    storage = in_parts(bucket)
    large = Content.random(tmp_path, PART_BYTES + 1)
    for one, key in ((content, new_key()), (large, new_key())):
        assert one.put(storage, key)
        assert not one.put(storage, key)
        with pytest.raises(KeyTakenError):
            Content.random(tmp_path).put(storage, key)
        assert read(storage, key) == one.data
    assert bucket.is_conditional is False


@pytest.mark.parametrize("moment", ["UploadPart", "CompleteMultipartUpload", "UploadPart, condition ignored"])
def test_a_key_taken_while_parts_are_sent_is_not_replaced(
    server: S3Server, tmp_path: Path, content: Content, moment: str
) -> None:
    moment, _, is_ignored = moment.partition(", ")
    bucket = Bucket(server.account())
    storage, key = in_parts(bucket), new_key()
    other = S3Storage(storage._prefix.strip("/"), server.connected())

    def taken_meanwhile(**_: object) -> None:
        content.put(other, key)

    bucket.client.meta.events.register(f"before-send.s3.{moment}", taken_meanwhile)
    if is_ignored:
        bucket.client.meta.events.register("before-sign.s3", _without_condition)
    with pytest.raises(KeyTakenError):
        Content.random(tmp_path, PART_BYTES + 1).put(storage, key)
    assert read(storage, key) == content.data
    assert unfinished(storage) == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"secret": "another-key-of-the-tests"}, "LABWIRE_AWS_SECRET_ACCESS_KEY"),
        ({"key_id": "radiology:nobody"}, "LABWIRE_AWS_ACCESS_KEY_ID"),
        ({"bucket": "no-such-bucket"}, "LABWIRE_AWS_STORAGE_BUCKET_NAME"),
    ],
)
def test_a_wrong_key_or_bucket_is_for_a_person(
    swift: S3Server, content: Content, wrong: dict[str, str], named: str
) -> None:
    storage = S3Storage(new_slug(), Bucket(swift.account(**wrong)))
    for number, call in enumerate(calls_of(storage, content)):
        with pytest.raises(ConfigError) as said:
            call()
        assert swift.secret not in str(said.value)
        assert named in str(said.value) or number == 2  # HEAD answers without a body: only the status is known


def test_a_store_that_cannot_be_reached_may_be_later(
    moto: S3Server, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "ATTEMPTS", 1)
    bucket = Bucket(moto.account(endpoint=f"http://127.0.0.1:{free_port()}"))
    for call in calls_of(S3Storage(new_slug(), bucket), content):
        with pytest.raises(UnavailableError):
            call()


def test_a_store_that_is_silent_may_be_heard_later(
    moto: S3Server, content: Content, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(s3_bucket, "ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bucket = Bucket(moto.account(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        for call in calls_of(S3Storage(new_slug(), bucket), content):
            with pytest.raises(RetryableError):
                call()


def test_an_answer_that_breaks_off_is_no_short_file(moto: S3Server, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as breaking:
        answering = threading.Thread(target=_break_off, args=(breaking, 2))
        answering.start()
        bucket = Bucket(moto.account(endpoint=f"http://127.0.0.1:{breaking.getsockname()[1]}"))
        storage, key, target = S3Storage(new_slug(), bucket), new_key(), tmp_path / "copy"
        with pytest.raises(RetryableError):
            read(storage, key)
        with pytest.raises(RetryableError):
            storage.fetch(key, target)
        answering.join()
    assert not target.exists()


def unfinished(storage: S3Storage) -> list[str]:
    answer = storage._client.list_multipart_uploads(Bucket=storage._bucket.name, Prefix=storage._prefix)
    return [one["Key"] for one in answer.get("Uploads", ())]


def _without_condition(request: AWSRequest, **_: object) -> None:
    """The server then does what one does that does not know the header."""
    del request.headers["If-None-Match"]


def _not_implemented(request: AWSRequest, **_: object) -> AWSResponse | None:
    if "If-None-Match" not in request.headers:
        return None
    return AWSResponse(request.url, 501, {}, _Raw(b"<Error><Code>NotImplemented</Code></Error>"))


def _break_off(listening: socket.socket, times: int) -> None:
    for _ in range(times):
        line, _address = listening.accept()
        with line:
            line.recv(65_536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nshort")


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]
