"""What the file system's backend promises besides: links are not followed, a full disk harms nothing."""

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.kernel.errors import ConfigError, InvalidError, RetryableError
from tasks.clients.storage import tree
from tasks.clients.storage.filesystem import FilesystemStorage
from tests.imaging.storages import Content, keys, new_key, read

pytestmark = pytest.mark.contract
KEY = "radiology/1.2/1.3/1.4/a.dcm"


@pytest.fixture
def storage(tmp_path: Path) -> FilesystemStorage:
    return FilesystemStorage(tmp_path / "media" / "lab")


@pytest.fixture
def content(tmp_path: Path) -> Content:
    return Content.random(tmp_path)


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir()]


def test_files_are_read_only_and_folders_ours_alone(storage: FilesystemStorage, content: Content) -> None:
    content.put(storage, KEY)
    path = storage.local_path(KEY)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    for folder in (*list(path.parents)[:4], storage.root, storage.root.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_on_the_same_file_system_nothing_is_copied(storage: FilesystemStorage, content: Content) -> None:
    content.put(storage, KEY)
    path = storage.local_path(KEY)
    assert path is not None
    assert path.samefile(content.path)


def test_a_copy_is_checked_against_its_checksum(other_file_system: Path, content: Content, tmp_path: Path) -> None:
    storage = FilesystemStorage(other_file_system / "lab")
    with pytest.raises(InvalidError):
        content.put(storage, KEY, sha256="0" * 64)
    assert everything(storage.root) == []
    assert content.put(storage, KEY)
    path = storage.local_path(KEY)
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert everything(storage.root) == [path]


def test_a_file_of_another_user_is_copied(storage: FilesystemStorage, content: Content) -> None:
    """Its owner could write to it for ever."""
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(content.path, 65534, 65534)
    assert content.put(storage, KEY)
    path = storage.local_path(KEY)
    assert path is not None
    assert not path.samefile(content.path)
    assert (path.stat().st_uid, read(storage, KEY)) == (0, content.data)


def test_what_is_hidden_is_not_listed(storage: FilesystemStorage, content: Content) -> None:
    content.put(storage, KEY)
    for name in (".uploads/one", "radiology/.x/one", "radiology/1.2/1.3/1.4/.one.part"):
        path = storage.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    assert keys(storage) == [KEY]


def test_empty_folders_go_with_what_was_removed(storage: FilesystemStorage, content: Content) -> None:
    other = KEY.replace("1.4", "1.5")
    content.put(storage, KEY)
    content.put(storage, other)
    storage.remove(KEY)
    assert [path.name for path in (storage.root / "radiology/1.2/1.3").iterdir()] == ["1.5"]
    storage.remove(other)
    assert list((storage.root / "radiology").iterdir()) == []


def test_only_old_leftovers_are_swept(storage: FilesystemStorage, content: Content) -> None:
    content.put(storage, KEY)
    folder = (storage.root / KEY).parent
    old, young = folder / tree.hidden_name("old"), folder / tree.hidden_name("young")
    upload = storage.root / ".uploads" / tree.hidden_name("old")
    empty = storage.root / "radiology/1.9/1.10/1.11"
    empty.mkdir(parents=True)
    upload.parent.mkdir()
    for path in (old, young, upload):
        path.write_bytes(b"half")
    for path in (old, upload, empty, *list(empty.parents)[:2]):
        os.utime(path, (time.time() - 7200,) * 2)
    assert storage.sweep(older_than_seconds=3600) == 1
    assert not old.exists()
    assert young.exists()
    assert upload.exists()
    assert not (storage.root / "radiology/1.9").exists()
    assert read(storage, KEY) == content.data


def test_a_put_survives_that_its_folders_are_removed_under_it(storage: FilesystemStorage, tmp_path: Path) -> None:
    """`move-objects` empties a folder while an image comes for it."""
    script = (
        "import sys; from pathlib import Path; from tasks.clients.storage.filesystem import FilesystemStorage\n"
        "storage = FilesystemStorage(Path(sys.argv[1]))\n"
        "print(flush=True)\n"
        "while True: storage.remove('radiology/1.2/1.3/1.4/none.dcm')\n"
    )
    line = [sys.executable, "-c", script, str(storage.root)]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as remover:
        assert remover.stdout is not None
        remover.stdout.readline()
        try:
            for number in range(200):
                content = Content.random(tmp_path, 10)
                key = KEY.replace("a.dcm", f"{number}.dcm")
                assert content.put(storage, key)
                assert read(storage, key) == content.data
                storage.remove(key)
        finally:
            remover.kill()


def test_a_full_disk_can_be_tried_again_and_leaves_nothing_half(
    tmp_path: Path, small_file_system: Path, content: Content
) -> None:
    storage = FilesystemStorage(small_file_system / "lab")
    large = Content.random(tmp_path, 3_000_000)
    with pytest.raises(RetryableError, match="ENOSPC"):
        large.put(storage, KEY)
    assert everything(storage.root) == []
    assert content.put(storage, KEY)
    elsewhere, target = FilesystemStorage(tmp_path / "media" / "other"), small_file_system / "copy"
    large.put(elsewhere, KEY)
    with pytest.raises(RetryableError, match="ENOSPC"):
        elsewhere.fetch(KEY, target)
    assert not target.exists()


def test_a_limit_on_files_leaves_nothing_half(tmp_path: Path, other_file_system: Path) -> None:
    content = Content.random(tmp_path, 100_000)
    said = _put_in_a_child(
        other_file_system / "lab", content, "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000,) * 2)"
    )
    assert said == "ConfigError image storage: the file is larger than is allowed (LABWIRE_MEDIA_ROOT)"
    assert everything(other_file_system) == []


def test_a_folder_we_may_not_write_to_is_for_a_person(tmp_path: Path, other_file_system: Path) -> None:
    content = Content.random(other_file_system)
    for folder, mode in ((other_file_system, 0o755), (other_file_system / "lab", 0o555)):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
    content.path.chmod(0o444)
    said = _put_in_a_child(other_file_system / "lab", content, "os.geteuid() or os.seteuid(65534)")
    assert said == "ConfigError image storage: no right to do this (LABWIRE_MEDIA_ROOT)"


def test_a_file_in_place_of_the_root_is_for_a_person(storage: FilesystemStorage, content: Content) -> None:
    storage.root.parent.mkdir()
    storage.root.write_bytes(b"")
    with pytest.raises(ConfigError):
        content.put(storage, KEY)
    with pytest.raises(ConfigError):
        keys(storage)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.EIO, RetryableError), (errno.EDQUOT, RetryableError), (errno.ENOSPC, RetryableError),
     (errno.EACCES, ConfigError), (errno.EROFS, ConfigError)],
)  # fmt: skip
def test_an_error_of_the_disk_is_ours_by_what_helps(
    storage: FilesystemStorage, content: Content, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(code, "broken", str(storage.root))

    monkeypatch.setattr(os, "fsync", failing)  # no disk here can be made to fail so
    with pytest.raises(kind) as said:
        content.put(storage, new_key())
    assert str(storage.root) not in str(said.value)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what was synced so far."""
    noted: list[str] = []
    real = os.fsync

    def noting(descriptor: int) -> None:
        noted.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    return noted


def test_everything_on_the_way_is_synced_before_the_answer(
    storage: FilesystemStorage, content: Content, synced: list[str]
) -> None:
    folders = [str(storage.root.joinpath(*KEY.split("/")[:depth])) for depth in range(5)]
    content.put(storage, KEY)
    assert {*folders, str(storage.root.parent), str(storage.root.parent.parent)} <= set(synced)
    synced.clear()
    content.put(storage, KEY.replace("1.4", "1.5"))  # the folders above are known to be there
    assert sorted(synced) == [folders[3], f"{folders[3]}/1.5"]  # at once
    synced.clear()
    assert not content.put(FilesystemStorage(storage.root), KEY)  # another process cannot know
    assert set(folders) <= set(synced)


def test_a_copy_is_synced_before_it_has_its_name(other_file_system: Path, content: Content, synced: list[str]) -> None:
    content.put(FilesystemStorage(other_file_system), KEY)
    copies = [number for number, path in enumerate(synced) if path.endswith(".part")]
    assert copies == [0]


def _put_in_a_child(root: Path, content: Content, before: str) -> str:
    script = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from models.kernel.errors import LabwireError\n"
        "from tasks.clients.storage.filesystem import FilesystemStorage\n"
        f"{before}\n"
        "try: FilesystemStorage(Path(sys.argv[1])).put(\n"
        "    sys.argv[2], Path(sys.argv[3]), sha256=sys.argv[4], size=int(sys.argv[5]), mime_type='')\n"
        "except LabwireError as failed: print(type(failed).__name__, failed)\n"
    )
    arguments = [str(root), KEY, str(content.path), content.sha256, str(len(content.data))]
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()
