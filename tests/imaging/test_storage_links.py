"""Nothing but plain files and folders of ours is ever read, listed, written to or swept below a tenant's folder."""

import os
from pathlib import Path

import pytest

from models.imaging.ports import DICOM, KeyTakenError, MissingObjectError
from models.kernel.errors import ConfigError, InvalidError
from tasks.clients.storage.filesystem import FilesystemStorage
from tests.imaging.storages import Content, keys

pytestmark = pytest.mark.contract
KEY = "radiology/1.2/1.3/1.4/a.dcm"


@pytest.fixture
def storage(tmp_path: Path) -> FilesystemStorage:
    return FilesystemStorage(tmp_path / "media" / "lab")


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content.random(tmp_path)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_link_in_place_of_a_folder_leads_nowhere(
    storage: FilesystemStorage, content: Content, tmp_path: Path, depth: int
) -> None:
    parts = KEY.split("/")
    outside = tmp_path / "outside"
    beyond = outside.joinpath(*parts[depth:-1])
    beyond.mkdir(parents=True)
    (beyond / parts[-1]).write_bytes(content.data)
    link = storage.root.joinpath(*parts[:depth])
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    _nothing_is_there(storage, tmp_path)
    with pytest.raises(ConfigError):
        content.put(storage, KEY)
    with pytest.raises(ConfigError):
        content.put(storage, f"{KEY}2")
    storage.remove(KEY)
    assert [path for path in outside.rglob("*") if not path.is_dir()] == [beyond / parts[-1]]
    assert storage.sweep(older_than_seconds=-60) == 0


def test_a_link_in_place_of_a_file_leads_nowhere(storage: FilesystemStorage, content: Content, tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes(content.data)
    place = storage.root / KEY
    place.parent.mkdir(parents=True)
    place.symlink_to(outside)
    _nothing_is_there(storage, tmp_path)
    with pytest.raises(KeyTakenError):
        content.put(storage, KEY)
    storage.remove(KEY)
    assert outside.read_bytes() == content.data


def test_a_pipe_and_a_folder_in_place_of_a_file_are_no_image(storage: FilesystemStorage, content: Content) -> None:
    place = storage.root / KEY
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    (place.parent / "b.dcm").mkdir()
    for key in (KEY, KEY.replace("a.dcm", "b.dcm")):
        assert storage.stat(key) is None
        with pytest.raises(MissingObjectError):
            storage.read(key)
        with pytest.raises(KeyTakenError):
            content.put(storage, key)
    assert keys(storage) == []


def test_a_link_is_not_kept(storage: FilesystemStorage, content: Content, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(content.path)
    with pytest.raises(InvalidError):
        storage.put(KEY, link, sha256=content.sha256, size=len(content.data), mime_type=DICOM)
    assert storage.stat(KEY) is None


def _nothing_is_there(storage: FilesystemStorage, tmp_path: Path) -> None:
    assert storage.stat(KEY) is None
    assert storage.local_path(KEY) is None
    assert keys(storage) == []
    with pytest.raises(MissingObjectError):
        storage.read(KEY)
    with pytest.raises(MissingObjectError):
        storage.fetch(KEY, tmp_path / "fetched")
