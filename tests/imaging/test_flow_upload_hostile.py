"""ZIP files and folders made to harm are bounded, write nothing outside the spool, and are refused with a reason."""

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.kernel.errors import RetryableError
from models.kernel.settings import settings
from tasks.clients.storage.mounting import MARK
from tasks.imaging import unpacking
from tests.imaging.dicoms import ct
from tests.imaging.drops import Drop, study, zipped

pytestmark = [pytest.mark.store]


def linked(target: str) -> bytes:
    """A ZIP file with a symbolic link."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        member = zipfile.ZipInfo("link.dcm")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, target)
        packed.writestr("good.dcm", ct(1))
    return made.getvalue()


def encrypted() -> bytes:
    """A ZIP file that says that its member is encrypted."""
    packed = bytearray(zipped({"a.dcm": ct(1)}, kind=zipfile.ZIP_STORED))
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(sign) + place] |= 1
    return bytes(packed)


def lying(declared: int) -> bytes:
    """A ZIP file whose member is larger than it says."""
    packed = bytearray(zipped({"a.dcm": ct(1)}))
    for sign, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", packed, packed.index(sign) + place, declared)
    return bytes(packed)


def large_index() -> bytes:
    """A ZIP file that says that its index has a gigabyte."""
    packed = bytearray(zipped({"a.dcm": ct(1)}))
    struct.pack_into("<I", packed, packed.rindex(b"PK\x05\x06") + 12, 2**30)
    return bytes(packed)


def spoilt(kind: int) -> bytes:
    """A ZIP file whose member its decompressor cannot go on with."""
    packed = bytearray(zipped({"a.dcm": ct(1)}, kind=kind))
    middle = (packed.index(b"a.dcm") + packed.rindex(b"PK\x01\x02")) // 2
    packed[middle - 20 : middle + 20] = b"\xff" * 40
    return bytes(packed)


HOSTILE = {
    "zip_path_out": [
        zipped({"../out.dcm": ct(1)}),
        zipped({"/etc/out.dcm": ct(1)}),
        zipped({"a/../../out.dcm": ct(1)}),
        zipped({"..\\out.dcm": ct(1)}),
        zipped({"C:\\out.dcm": ct(1)}),
    ],
    "link_or_device": [linked("/etc/passwd")],
    "zip_encrypted": [encrypted()],
    "zip_bomb": [zipped({"a.dcm": b"\0" * 60_000_000})],
    "zip_broken": [lying(5), zipped(study(2))[:-300], zipped(study(2))[:50], b"PK\x03\x04" + b"x" * 90]
    + [spoilt(kind) for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)],
    "too_many_files": [large_index()],
}


def test_a_hostile_zip_is_refused_as_a_whole(drop: Drop) -> None:
    expected = {f"{rule}-{number}.zip": rule for rule, files in HOSTILE.items() for number in range(len(files))}
    for rule, files in HOSTILE.items():
        for number, content in enumerate(files):
            drop.put(f"{rule}-{number}.zip", content)
    before = {path for path in drop.base.parent.rglob("*") if path.is_file()}
    report = drop.run()
    assert [source.rule for source in report.sources] == [expected[name] for name in sorted(expected)]
    assert (drop.uids(), drop.clinic.spool(), drop.clinic.objects()) == ([], [], [])
    after = {path for path in drop.base.parent.rglob("*") if path.is_file() and path.name != MARK}
    quarantine = drop.base / "quarantine" / "north"
    assert after - before - {drop.base / "inbox" / ".claimed" / ".lock"} == {
        quarantine / name for one in expected for name in (one, f"{one}.reason.txt")
    }


def test_sources_are_bounded_in_number_and_size(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_FILES", 2)
    drop.put("a.zip", zipped(study(3)))
    drop.put("b", study(3))
    monkeypatch.setattr(unpacking, "MOST_BYTES", 3 * len(ct(1)) // 2)
    drop.put("c", study(2))
    drop.put("d.zip", zipped(study(2)))
    assert [source.rule for source in drop.run().sources] == [
        *("too_many_files", "too_many_files", "too_large", "too_large")
    ]
    assert (drop.uids(), drop.clinic.spool()) == ([], [])


def test_one_file_that_is_too_large_keeps_its_whole_source_out(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a megabyte here; the settings' least."""
    monkeypatch.setenv("LABWIRE_RADIOLOGY_LARGEST_MB", "1")
    settings.cache_clear()
    files = {"1": ct(1), "2": ct(2, size=800)}
    drop.put("a.zip", zipped(files))
    drop.put("b", files)
    drop.put("c", study(1))
    assert [source.rule for source in drop.run().sources] == ["too_large", "too_large", ""]
    assert [name for name in drop.names("quarantine") if not name.endswith(".txt")] != []
    assert (drop.names("archive") != [], len(drop.uids()), drop.clinic.spool()) == (True, 1, [])


@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "link as source"])
def test_links_and_pipes_are_not_followed(drop: Drop, tmp_path: Path, kind: str) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.dcm").write_bytes(ct(1))
    folder = drop.put("a", study(1))
    if kind == "link":
        (folder / "b.dcm").symlink_to(secret / "a.dcm")
    elif kind == "folder link":
        (folder / "b").symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(folder / "b.dcm")
    else:
        (drop.folder / "b").symlink_to(secret)
    rules = [source.rule for source in drop.run().sources]
    assert rules == (["", "link_or_device"] if kind == "link as source" else ["link_or_device"])
    assert (secret / "a.dcm").read_bytes() == ct(1)


def test_a_zip_in_a_zip_is_not_opened_and_nested_folders_are(drop: Drop) -> None:
    inner = zipped(study(2))
    drop.put("a.zip", zipped({"DICOM/P1/S1/IMG1": ct(1), "DICOM/P1/S2/IMG2": ct(2), "inner.zip": inner}))
    assert drop.run().tally.message == "sources archived 1, images stored 2, images held 1"
    [held] = drop.clinic.rows("SELECT rule FROM image_upload")
    assert held.rule == "not_an_image"


def test_a_source_that_cannot_be_taken_in_now_stops_no_other_and_is_tried_again(
    drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of another laboratory: what is claimed comes first in every run."""
    drop.put("a", study(1))
    drop.put("b", study(2))
    with monkeypatch.context() as broken:
        broken.setattr(unpacking.Contents, "_copied", failing_once(unpacking.Contents._copied))
        report = drop.run()
    assert report.tally.message == "sources archived 1, images stored 2; sources left for the next run 1"
    assert report.tally.problems
    assert [row["rule"] for row in report.rows() if row["outcome"] == "left for the next run"] == ["not_possible_now"]
    assert [path.name for path in drop.claimed()] == ["a"]
    assert drop.clinic.spool() == []
    assert drop.run().tally.message == "sources archived 1, images repeated 1"


def failing_once(real: Callable[..., Any]) -> Callable[..., Any]:
    """A disk that fails, once."""
    left = [1]

    def copied(*given: Any) -> Any:
        if left:
            raise RetryableError(f"the disk fails ({left.pop()})")
        return real(*given)

    return copied
