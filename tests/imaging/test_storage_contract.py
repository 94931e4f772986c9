"""What every backend promises: one suite, run over the file system and two S3 servers."""

import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.imaging.ports import DICOM, KeyTakenError, MissingObjectError, ObjectStorage
from models.kernel.errors import InvalidError
from tasks.clients.storage.filesystem import FilesystemStorage
from tasks.clients.storage.s3 import S3Storage
from tests.imaging.s3_servers import PART_BYTES
from tests.imaging.storages import Content, keys, new_key, new_slug, read

pytestmark = pytest.mark.contract
Opener = Callable[[str], ObjectStorage]
NOT_KEYS = (
    "", "/radiology/a", "radiology//a", "radiology/", "../a", "radiology/../../a", "radiology/./a", "a/..",
    ".uploads/a", "radiology/.a", "radiology/a\0b", "radiology\\a", "radiology/a\nb", "a/" * 600 + "a", "a" * 300,
    "radiology/\udcff",
)  # fmt: skip


def _opener(name: str, request: pytest.FixtureRequest) -> Opener:
    if name in ("moto", "swift"):
        bucket = request.getfixturevalue(name).connected()
        return lambda slug: S3Storage(slug, bucket, single_largest=PART_BYTES, part_bytes=PART_BYTES)
    media: Path = request.getfixturevalue("tmp_path" if name == "filesystem" else "other_file_system") / "media"
    return lambda slug: FilesystemStorage(media / slug)


@pytest.fixture(params=["filesystem", "copied", "moto", "swift"])
def open_storage(request: pytest.FixtureRequest) -> Opener:
    """A tenant's storage by its slug; `copied` lies on another file system than what is put."""
    return _opener(request.param, request)


@pytest.fixture
def storage(open_storage: Opener) -> ObjectStorage:
    return open_storage(new_slug())


@pytest.fixture(params=["filesystem", "copied", "moto"])
def atomic(request: pytest.FixtureRequest) -> ObjectStorage:
    """Swift looks first and writes then: two puts in the same instant are both let through."""
    return _opener(request.param, request)(new_slug())


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content.random(tmp_path)


def test_what_was_put_comes_back_byte_for_byte(storage: ObjectStorage, content: Content) -> None:
    key, before = new_key(), time.time()
    assert content.put(storage, key)
    assert read(storage, key) == content.data
    found = storage.stat(key)
    assert found is not None
    assert (found.key, found.size) == (key, len(content.data))
    assert abs(found.modified_at - before) < 60


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 1_000_000])
def test_any_size_comes_back_in_pieces_of_at_most_256_kilobytes(
    storage: ObjectStorage, tmp_path: Path, size: int
) -> None:
    key, content = new_key(), Content.random(tmp_path, size)
    assert content.put(storage, key)
    pieces = list(storage.read(key))
    assert all(0 < len(piece) <= 256 * 1024 for piece in pieces)
    assert b"".join(pieces) == content.data


def test_a_range_is_that_part_and_no_more(storage: ObjectStorage, tmp_path: Path) -> None:
    key, content = new_key(), Content.random(tmp_path, 700_000)
    content.put(storage, key)
    for start, length in ((0, 10), (5, None), (300_000, 300_000), (699_999, 50), (700_000, 1), (800_000, None), (7, 0)):
        wanted = content.data[start:] if length is None else content.data[start : start + length]
        assert b"".join(storage.read(key, start=start, length=length)) == wanted
    with pytest.raises(InvalidError):
        storage.read(key, start=-1)


def test_the_same_bytes_again_are_no_news(storage: ObjectStorage, tmp_path: Path, content: Content) -> None:
    key = new_key()
    again = Content(content.data, tmp_path / "again")
    again.path.write_bytes(content.data)
    assert content.put(storage, key)
    assert not again.put(storage, key)
    assert not content.put(storage, key)
    assert read(storage, key) == content.data


@pytest.mark.parametrize("size", [1000, 1001, 0])
def test_other_bytes_under_the_key_are_refused_and_the_first_stay(
    storage: ObjectStorage, tmp_path: Path, content: Content, size: int
) -> None:
    key = new_key()
    content.put(storage, key)
    with pytest.raises(KeyTakenError):
        Content.random(tmp_path, size).put(storage, key)
    assert read(storage, key) == content.data


def test_of_puts_in_the_same_instant_exactly_one_wins(atomic: ObjectStorage, tmp_path: Path) -> None:
    contents = [Content.random(tmp_path) for _ in range(8)]
    contents[0].put(atomic, new_key())  # connected, and what the store can do is known

    def attempt(content: Content, key: str) -> bool | None:
        try:
            return content.put(atomic, key)
        except KeyTakenError:
            return None

    with ThreadPoolExecutor(8) as threads:
        for _ in range(5):
            key = new_key()
            won = list(threads.map(attempt, contents, itertools.repeat(key)))
            assert sorted(won, key=bool) == [None] * 7 + [True]
            assert read(atomic, key) == contents[won.index(True)].data


def test_of_equal_puts_in_the_same_instant_one_is_new(atomic: ObjectStorage, content: Content) -> None:
    key = new_key()
    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(lambda _: content.put(atomic, key), range(8))) == [False] * 7 + [True]


def test_a_file_that_is_not_as_said_is_not_kept(storage: ObjectStorage, tmp_path: Path, content: Content) -> None:
    key = new_key()
    with pytest.raises(InvalidError):
        storage.put(key, content.path, sha256=content.sha256, size=999, mime_type=DICOM)
    with pytest.raises(InvalidError):
        storage.put(key, tmp_path / "absent", sha256=content.sha256, size=1000, mime_type=DICOM)
    assert storage.stat(key) is None


def test_a_copy_is_fetched_to_a_new_file_only(storage: ObjectStorage, tmp_path: Path, content: Content) -> None:
    key, target = new_key(), tmp_path / "copy"
    content.put(storage, key)
    storage.fetch(key, target)
    assert target.read_bytes() == content.data
    target.write_bytes(b"somebody's")
    with pytest.raises(InvalidError):
        storage.fetch(key, target)
    assert target.read_bytes() == b"somebody's"


def test_what_is_not_there_is_told_at_once(storage: ObjectStorage, tmp_path: Path, content: Content) -> None:
    for _ in range(2):
        key = new_key()
        with pytest.raises(MissingObjectError):
            storage.read(key)
        with pytest.raises(MissingObjectError):
            storage.read(key, start=5, length=0)
        with pytest.raises(MissingObjectError):
            storage.fetch(key, tmp_path / "none")
        assert storage.stat(key) is None
        assert storage.local_path(key) is None
        storage.remove(key)
        content.put(storage, new_key())  # now with folders beside it
    assert not (tmp_path / "none").exists()


def test_objects_are_listed_in_the_order_of_keys_and_by_prefix(storage: ObjectStorage, content: Content) -> None:
    made = [
        f"radiology/{tail}"
        for tail in ("1.2/1/1/b.dcm", "1.2/1/1/a.dcm", "1.2/1.1/1/a.dcm", "1.2/10/1/a.dcm", "1.20/1/1/a.dcm", "1.2-a")
    ]
    for key in made:
        content.put(storage, key)
    assert keys(storage) == sorted(made)
    for prefix in ("radiology/1.2", "radiology/1.2/", "radiology/1.2/1/1/a.dcm", "rad", "radiology/9/", "x"):
        assert keys(storage, prefix) == sorted(key for key in made if key.startswith(prefix))
    assert {one.size for one in storage.list()} == {1000}
    for wrong in ("/", "../", "radiology/../", "radiology/.", "."):
        with pytest.raises(InvalidError):
            storage.list(wrong)


def test_a_removed_object_is_gone_and_others_stay(storage: ObjectStorage, content: Content) -> None:
    first, second = new_key("1.2"), new_key("1.2")
    content.put(storage, first)
    content.put(storage, second)
    storage.remove(first)
    storage.remove(first)
    assert keys(storage) == [second]
    assert content.put(storage, first)
    assert read(storage, first) == content.data


@pytest.mark.parametrize("key", NOT_KEYS, ids=repr)
def test_a_key_that_leads_out_is_refused_by_every_call(storage: ObjectStorage, content: Content, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: content.put(storage, key),
        lambda: storage.read(key),
        lambda: storage.fetch(key, content.path.parent / "out"),
        lambda: storage.stat(key),
        lambda: storage.local_path(key) if storage.name == "filesystem" else storage.stat(key),
        lambda: storage.remove(key),
    ]
    for call in calls:
        with pytest.raises(InvalidError):
            call()


def test_two_tenants_hold_the_same_key_without_seeing_each_other(open_storage: Opener, tmp_path: Path) -> None:
    slug, key = new_slug(), new_key()
    first, second, third = open_storage(slug), open_storage(f"{slug}-2"), open_storage(slug[:-1])
    ours, theirs = Content.random(tmp_path), Content.random(tmp_path)
    assert ours.put(first, key)
    assert second.stat(key) is None
    assert theirs.put(second, key)
    assert (read(first, key), read(second, key)) == (ours.data, theirs.data)
    assert keys(third) == []
    second.remove(key)
    assert keys(second) == []
    assert keys(first) == [key]


def test_a_file_of_many_parts_is_kept_like_any_other(storage: ObjectStorage, tmp_path: Path) -> None:
    key, content = new_key(), Content.random(tmp_path, 2 * PART_BYTES + 1234)
    other = Content.random(tmp_path, 2 * PART_BYTES + 1234)
    assert content.put(storage, key)
    assert not content.put(storage, key)
    with pytest.raises(KeyTakenError):
        other.put(storage, key)
    assert read(storage, key) == content.data
    assert b"".join(storage.read(key, start=PART_BYTES - 2, length=4)) == content.data[PART_BYTES - 2 : PART_BYTES + 2]
    found = storage.stat(key)
    assert found is not None
    assert found.size == len(content.data)


def test_nothing_is_swept_that_is_complete(storage: ObjectStorage, content: Content) -> None:
    key = new_key()
    content.put(storage, key)
    assert storage.sweep(older_than_seconds=0) == 0
    assert keys(storage) == [key]


def test_a_reader_that_stops_early_harms_nobody(storage: ObjectStorage, tmp_path: Path) -> None:
    key, content = new_key(), Content.random(tmp_path, 2_000_000)
    content.put(storage, key)
    for _ in range(40):  # more than there are connections
        pieces: Iterator[bytes] = storage.read(key)
        next(pieces)
        del pieces
    assert read(storage, key) == content.data


def test_errors_name_no_key_and_no_path(storage: ObjectStorage, tmp_path: Path, content: Content) -> None:
    name = secrets.token_hex(8)
    key = f"radiology/1.2/1.3/1.4/{name}"
    with pytest.raises(MissingObjectError) as missing:
        storage.read(key)
    content.put(storage, key)
    with pytest.raises(KeyTakenError) as taken:
        Content.random(tmp_path).put(storage, key)
    with pytest.raises(InvalidError) as refused:
        storage.read(f"../{name}")
    for said in (missing, taken, refused):
        assert name not in str(said.value)
        assert str(tmp_path) not in str(said.value)
