"""Files with vital signs: what is taken, in which form, and where each file ends."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.factories import make_tenant
from tests.vitals.conftest import Clinic, Worn
from tests.vitals.files import Drop, reading

pytestmark = pytest.mark.store


def test_a_documented_file_is_stored_and_archived_under_the_day_with_a_stamp(drop: Drop, worn: Worn) -> None:
    given = reading(blood_pressure_systolic=120, blood_pressure_diastolic=80, temperature=98.6, temperature_unit="F")
    drop.put("DEV001_reading1.json", given | {"battery_level": 61})
    report = drop.run()
    assert report.tally.message == "files archived 1, readings stored 1"
    [row] = worn.clinic.rows("SELECT * FROM vital_sign")
    assert (row.device_id, row.patient_id, row.data_source, str(row.temperature)) == (
        *(worn.device_id, worn.patient_id),
        *("device", "37.00"),
    )
    assert json.loads(row.raw)["temperature"] == 98.6
    [name] = drop.names("archive")
    today = datetime.now(UTC)
    assert re.fullmatch(rf"{today:%Y-%m-%d}/DEV001_reading1_\d{{8}}_\d{{6}}\.json", name)
    assert drop.names("inbox") == drop.names("quarantine") == []
    [contact] = worn.clinic.rows("SELECT * FROM device_contact")
    assert (contact.battery_level, contact.key_id) == (61, None)
    [activity] = worn.clinic.rows("SELECT * FROM device_activity")
    assert (activity.door, activity.readings, activity.status) == ("file", 1, 200)


FORMS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "single": lambda rows: json.dumps(rows[0]),
    "batch": lambda rows: json.dumps({"device_id": "DEV001", "readings": [_without_device(row) for row in rows]}),
    "array": json.dumps,
    "lines": lambda rows: "\n".join(json.dumps(row) for row in rows) + "\n\n",
    "lines of Windows": lambda rows: "\ufeff" + "\r\n".join(json.dumps(row) for row in rows),
}


def _without_device(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "device_id"}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(drop: Drop, form: str) -> None:
    drop.put("x.json", FORMS[form]([reading(3, heart_rate=71), reading(2, heart_rate=72), reading(1, heart_rate=73)]))
    drop.run()
    assert drop.heart_rates() == ([71] if form == "single" else [71, 72, 73])
    assert len(drop.names("archive")) == 1


def test_a_reading_that_came_by_the_door_or_in_another_form_is_stored_once(drop: Drop, worn: Worn) -> None:
    given = reading(2)
    assert worn.post(given).status_code == 200
    drop.put("single.json", given)
    drop.put("lines.jsonl", f"{json.dumps(given)}\n{json.dumps(given)}\n")
    drop.put("batch.json", {"device_id": "DEV001", "readings": [_without_device(given)]})
    assert drop.run().tally.message == "files archived 3, readings repeated 4"
    assert drop.heart_rates() == [75]
    assert len(drop.names("archive")) == 3
    assert any(name.endswith(".jsonl") for name in drop.names("archive"))


def test_the_same_file_twice_in_one_run_and_again_later_is_stored_once(drop: Drop) -> None:
    given = [reading(number) for number in range(1, 6)]
    drop.put("a.json", given)
    drop.put("b.json", given)
    assert drop.run().tally.message == "files archived 2, readings stored 5, readings repeated 5"
    drop.put("a.json", given)
    assert drop.run().tally.message == "files archived 1, readings repeated 5"
    assert len(drop.heart_rates()) == 5
    assert drop.run().tally.message == "nothing to do"


def test_archived_files_of_the_same_name_and_second_do_not_overwrite_each_other(drop: Drop) -> None:
    for number in range(4):
        drop.put("same.json", reading(number + 1, heart_rate=70 + number))
        drop.run()
    kept = [(drop.base / "archive" / name).read_text() for name in drop.names("archive")]
    assert sorted(json.loads(text)["heart_rate"] for text in kept) == [70, 71, 72, 73]


def test_a_tenants_folder_belongs_to_the_tenant_and_the_root_to_the_default_one(drop: Drop, worn: Worn) -> None:
    other = Clinic(make_tenant("other"))
    other.device("DEV001", other.patient())
    drop.put("root.json", reading(heart_rate=61))
    drop.put("mine.json", reading(heart_rate=62), "clinic")
    drop.put("theirs.json", reading(heart_rate=63), "other")
    drop.run()
    assert sorted(drop.heart_rates()) == [61, 62]
    assert [row.heart_rate for row in other.rows("SELECT heart_rate FROM vital_sign")] == [63]
    assert sorted(name.split("/")[0] for name in drop.names("archive")) == sorted(
        [f"{datetime.now(UTC):%Y-%m-%d}", "clinic", "other"]
    )
    assert [row.suite for row in other.rows("SELECT suite FROM quality_check")] == ["vitals-files"]


def test_files_of_nobody_are_left_where_they_are_and_told_of(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.kernel.settings import settings

    monkeypatch.setenv("LABWIRE_IOT_DEFAULT_TENANT", "")
    settings.cache_clear()
    drop.put("root.json", reading())
    drop.put("x.json", reading(), "unheard-of")
    report = drop.run()
    assert dict(report.tally.problems) == {"folders of no tenant": 1, "files of no tenant": 1}
    assert drop.names("inbox") == ["root.json", "unheard-of/x.json"]
    assert drop.heart_rates() == []


def test_held_readings_are_kept_apart_and_their_file_is_archived(drop: Drop, worn: Worn) -> None:
    rows = [reading(4, heart_rate=2), reading(3, blood_pressure_systolic=80, blood_pressure_diastolic=90), reading(2)]
    drop.put("held.json", [*rows, reading(-60)])
    assert drop.run().tally.message == "files archived 1, readings stored 1, readings held 3"
    held = worn.clinic.rows("SELECT findings FROM held_reading ORDER BY recorded_at")
    assert [[found["rule"] for found in row.findings] for row in held] == [
        ["impossible_value"],
        ["systolic_not_over_diastolic"],
        ["in_the_future"],
    ]
    [check] = worn.clinic.rows("SELECT * FROM quality_check")
    assert (check.rows, check.failed_rows, check.is_met) == (4, 3, False)
    failed = {one["expectation_config"]["description"] for one in check.result["results"] if not one["success"]}
    assert failed == {
        "Heart rate: a living person can have it (/min)",
        "Systolic pressure is over diastolic",
        "It was not taken in the future",
    }


def test_one_look_of_the_suite_covers_all_files_of_a_run(drop: Drop, worn: Worn) -> None:
    for number in range(30):
        drop.put(f"{number:02}.json", reading(number + 1))
    drop.run()
    [check] = worn.clinic.rows("SELECT * FROM quality_check")
    assert (check.rows, check.is_met) == (30, True)


def test_order_of_time_and_copies_are_named_and_hold_nothing(drop: Drop, worn: Worn) -> None:
    late = reading(9)
    drop.put("late.json", [reading(5), late, late])
    assert drop.run().tally.message == "files archived 1, readings stored 2, readings repeated 1"
    [check] = worn.clinic.rows("SELECT * FROM quality_check")
    failed = [one["expectation_config"]["description"] for one in check.result["results"] if not one["success"]]
    assert failed == [
        "In its file the readings of a device are in the order of time",
        "The reading is there once",
    ]


def test_a_correction_names_the_earlier_reading(drop: Drop, worn: Worn) -> None:
    first = reading(5)
    drop.put("a.json", [first, first | {"heart_rate": 76}])
    drop.run()
    rows = worn.clinic.rows("SELECT id, corrects_id FROM vital_sign ORDER BY id")
    assert rows[1].corrects_id == rows[0].id
