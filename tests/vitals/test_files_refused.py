"""Files that are left alone, refused or wrong as a whole; the reason beside them, and their way back."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from models.kernel.errors import ConfigError
from models.kernel.settings import settings
from models.vitals.stores import file_batches
from tasks.vitals import inbox, storing
from tasks.vitals.inbox import Place, owners_of, waiting
from tests.vitals.conftest import Worn
from tests.vitals.files import Drop, reading

pytestmark = pytest.mark.store
SECRET = "Jane-Doe-1961"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


BAD: dict[str, tuple[Any, str]] = {
    "not JSON": ("heart rate 75", "not_json"),
    "half a file": (json.dumps(reading())[:-9], "not_json"),
    "not UTF-8": (b'{"device_id": "\xff"}', "not_json"),
    "NaN": ('{"device_id": "DEV001", "heart_rate": NaN}', "not_json"),
    "empty": ("", "empty"),
    "blank": (" \n ", "empty"),
    "a number": ("75", "not_an_object_or_array"),
    "no readings": ('{"device_id": "DEV001", "readings": []}', "no_readings"),
    "readings no list": ('{"device_id": "DEV001", "readings": 7}', "readings_is_no_list"),
    "nested": (nested(33), "nested_deeper_than_32"),
    "absurdly nested": (nested(200_000), "nested_deeper_than_32"),
    "nested in a field": (json.dumps(reading(extra=json.loads(nested(33)))), "nested_deeper_than_32"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_has_no_form_goes_to_quarantine_with_the_rule(drop: Drop, kind: str) -> None:
    content, rule = BAD[kind]
    drop.put("bad.json", content)
    report = drop.run()
    assert (report.tally.message, dict(report.tally.counts)) == ("files quarantined 1", {})
    assert drop.names("quarantine") == ["bad.json", "bad.json.reason.txt"]
    assert f"refused: {rule}\n" in drop.reason("bad.json")
    assert drop.names("inbox") == drop.names("archive") == []


def test_nesting_up_to_the_limit_is_no_reason(drop: Drop) -> None:
    drop.put("deep.json", reading(extra=json.loads(nested(31))))
    assert drop.run().tally.message == "files archived 1, readings stored 1"


def _link(path: Path) -> None:
    target = path.parent.parent / "elsewhere.json"
    target.write_text(json.dumps(reading()))
    path.symlink_to(target)


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(inbox.MOST_BYTES + 1)


def _writable(path: Path) -> None:
    path.write_text(json.dumps(reading()))
    path.chmod(0o646)


def _of_another(path: Path) -> None:
    path.write_text(json.dumps(reading()))
    os.chown(path, 12_345, -1)


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "symlink": (_link, "symbolic_link"),
    "dangling symlink": (lambda path: path.symlink_to("nowhere"), "symbolic_link"),
    "pipe": (os.mkfifo, "not_a_regular_file"),
    "oversized": (_large, "larger_than_64_MB"),
    "writable by everybody": (_writable, "writable_by_everybody"),
    "another user's": (_of_another, "owner_not_allowed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_may_not_be_taken_is_not_read(drop: Drop, kind: str) -> None:
    if kind == "another user's" and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    make, rule = REFUSED[kind]
    make(drop.inbox / "x.json")
    assert dict(drop.run().tally.problems) == {"files quarantined": 1}
    assert drop.names("quarantine") == ["x.json", "x.json.reason.txt"]
    assert f"refused: {rule}\n" in drop.reason("x.json")
    assert drop.heart_rates() == []


def test_the_owner_of_a_folder_and_the_users_named_are_allowed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 12_345, -1)
    assert owners_of(tmp_path, "") == {0, 12_345}
    assert owners_of(tmp_path, "daemon, ") == {0, 12_345, 1}
    tmp_path.chmod(0o777)
    assert owners_of(tmp_path, "") == {0}
    with pytest.raises(ConfigError):
        owners_of(tmp_path, "nobody-of-that-name")


def test_what_is_being_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    for name in (".hidden.json", "a.json.part", "b.tmp", "c.json.reason.txt"):
        (tmp_path / name).write_text("{}")
    fresh = tmp_path / "fresh.json"
    fresh.write_text("{}")
    os.utime(fresh, (1, 1))  # as rsync and scp -p set it: says nothing
    now = fresh.lstat().st_ctime + 0.1
    monkeypatch.setattr(time, "time", lambda: now)
    assert list(waiting(place)) == []
    now += inbox.SETTLED_SECONDS
    assert list(waiting(place)) == [fresh]
    with fresh.open("a"):
        assert list(waiting(place)) == []
    assert list(waiting(place)) == [fresh]


def test_a_file_with_some_bad_readings_stores_the_good_ones_and_names_the_others(drop: Drop, worn: Worn) -> None:
    worn.clinic.device("LOOSE")
    rows = [
        reading(9, heart_rate=70),
        reading(8, heart_rate=SECRET),
        reading(7, device_id=SECRET),
        {"device_id": "DEV001", "heart_rate": 70},
        reading(6, device_id="LOOSE"),
        SECRET,
        reading(5, heart_rate=3),
        reading(4, heart_rate=71),
    ]
    drop.put("mixed.json", rows)
    report = drop.run()
    assert report.tally.message == ("readings stored 2, readings held 1, readings not taken 5; files quarantined 1")
    assert drop.heart_rates() == [70, 71]
    reason = drop.reason("mixed.json")
    assert [line for line in reason.splitlines() if line.startswith("reading ")] == [
        "reading 1: heart_rate: heart_rate must be a number",
        "reading 2: device_id: Device not found in system",
        "reading 3: timestamp: Missing required field: timestamp",
        "reading 5: Invalid JSON format",
        "reading 4: Device not assigned to patient",
    ]
    assert SECRET not in reason
    checks = worn.clinic.rows("SELECT CAST(c AS text) AS it FROM quality_check c")
    assert checks
    assert all(SECRET not in row.it and "DEV001" not in row.it for row in checks)


def test_moved_back_to_the_inbox_a_file_is_read_again(drop: Drop, worn: Worn) -> None:
    drop.put("new.json", [reading(5, heart_rate=70), reading(4, device_id="DEV002", heart_rate=71)])
    drop.run()
    worn.clinic.device("DEV002", worn.patient_id)
    drop.replay("new.json")
    assert drop.run().tally.message == "files archived 1, readings stored 1, readings repeated 1"
    assert drop.heart_rates() == [70, 71]
    assert len(drop.names("archive")) == 1


def test_a_second_bad_file_of_the_same_name_keeps_the_first_and_its_reason(drop: Drop) -> None:
    for content in ("one", "", "three"):
        drop.put("bad.json", content)
        drop.run()
    names = drop.names("quarantine")
    files = [name for name in names if not name.endswith(".reason.txt")]
    assert len(files) == 3
    assert names == sorted([*files, *(f"{name}.reason.txt" for name in files)])
    assert sorted((drop.base / "quarantine" / name).read_text() for name in files) == ["", "one", "three"]


def test_of_a_file_that_is_mostly_wrong_nothing_is_stored(drop: Drop, worn: Worn) -> None:
    bad = [reading(40 + number, heart_rate=1) for number in range(11)]
    drop.put("wrong.json", [*bad, *(reading(20 + number) for number in range(10))])
    drop.put("fine.json", [*bad[:10], *(reading(20 + number) for number in range(11))])
    report = drop.run()
    assert report.tally.message == (
        "files archived 1, readings stored 11, readings held 10, readings not taken 21; files quarantined 1"
    )
    assert "refused: most_readings_bad\n" in drop.reason("wrong.json")
    [check] = worn.clinic.rows("SELECT * FROM quality_check")
    assert check.rows == 42
    drop.replay("wrong.json")
    drop.run()
    assert len(drop.heart_rates()) == 11


def test_a_reading_the_database_refuses_is_a_fault_of_its_own_file(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = file_batches.store_file_readings

    def broken(session: Session, tenant_id: int, at: Any, wanted: Any) -> Any:
        if any(each.reading.values["heart_rate"].given == 99 for each in wanted):
            raise ValueError(SECRET)
        return whole(session, tenant_id, at, wanted)

    monkeypatch.setattr(storing, "store_file_readings", broken)
    drop.put("good.json", [reading(number + 1) for number in range(9)])
    drop.put("odd.json", [reading(30, heart_rate=99), reading(31)])
    assert drop.run().tally.message == (
        "files archived 1, readings stored 10, readings not taken 1; files quarantined 1"
    )
    assert "reading 0: could not be stored\n" in drop.reason("odd.json")


def test_an_inactive_devices_readings_are_not_taken(drop: Drop, worn: Worn) -> None:
    worn.clinic.device("OFF", worn.patient_id, is_active=False)
    drop.put("off.json", reading(device_id="OFF"))
    drop.run()
    assert "reading 0: device_id: Device not active\n" in drop.reason("off.json")


def test_an_inbox_that_is_set_and_not_there_is_told_of(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_IOT_INBOX_DIR", str(drop.base / "unmounted"))
    settings.cache_clear()
    with pytest.raises(ConfigError):
        drop.run()


def test_an_inbox_that_is_a_link_is_not_opened(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    drop.put("x.json", reading())
    link = drop.base / "link"
    link.symlink_to(drop.inbox)
    monkeypatch.setenv("LABWIRE_IOT_INBOX_DIR", str(link))
    settings.cache_clear()
    with pytest.raises(ConfigError):
        drop.run()
    assert drop.names("inbox") == ["x.json"]
