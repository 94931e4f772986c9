"""What is dropped as folder, ZIP or file is stored once, in the right study; what is wrong is held or quarantined."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.imaging.upload_study import upload_study
from models.kernel.errors import InvalidError, NotFoundError
from tasks.imaging import sources
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, ct, picture
from tests.imaging.drops import Drop, artifact, study, zipped

pytestmark = [pytest.mark.store]
NAME = "Zyxwhistle-1931"


@pytest.mark.flow
@pytest.mark.rerun
@pytest.mark.xdist_group("prefect")
async def test_a_folder_and_a_zip_are_stored_told_of_and_archived_once(drop: Drop, prefect_server: None) -> None:
    drop.put(NAME, study(3))
    other = study(2, study_uid="1.2.3", series_uid="1.2.3.1")
    drop.put(f"{NAME}.zip", zipped({f"DICOM/{NAME}/{name}": file for name, file in other.items()}))
    drop.put("bad.dcm", b"no image at all")
    state = await upload_study(return_state=True)
    assert state.is_failed()
    assert state.message == "sources archived 2, images stored 5; sources quarantined 1"
    rows, progress = await artifact("upload-study-images"), await artifact("upload-study-progress")
    assert [(row["outcome"], row["rule"]) for row in rows[:1]] == [("quarantined", "most_files_cannot_be_read")]
    assert sum(row["outcome"] == "stored" for row in rows) == 5
    assert NAME not in json.dumps(rows)
    assert progress == 100.0
    assert len(drop.uids()) == 5
    assert drop.clinic.spool() == []
    assert (drop.names("inbox"), len(drop.names("archive"))) == ([], 2)
    assert drop.names("quarantine") == ["bad.dcm", "bad.dcm.reason.txt"]
    before = everything(drop)
    again = await upload_study(tenant="north", return_state=True)
    assert (again.is_completed(), again.message) == (True, "nothing to do")
    for name in ("a", "b"):
        drop.put(name, study(3))
    third = await upload_study(return_state=True)
    assert third.message == "sources archived 2, images repeated 6"
    assert everything(drop) == before


def everything(drop: Drop) -> tuple[list[str], list[str]]:
    tables = ("radiology_study", "radiology_series", "radiology_image", "image_upload")
    rows = [str(row) for name in tables for row in drop.clinic.rows(f"SELECT CAST(x AS text) FROM {name} x ORDER BY 1")]
    return rows, [str(path) for path in drop.clinic.objects()]


def test_what_is_no_image_on_a_patients_cd_is_passed_over(drop: Drop) -> None:
    files = study(2) | {
        "DICOMDIR": b"index",
        "__MACOSX/._IMG001": b"x",
        ".DS_Store": b"x",
        "VIEWER/Thumbs.db": b"x",
        "VIEWER/RUN.EXE": b"MZ" + b"\0" * 300,
        "README.TXT": b"insert the disk",
        "AUTORUN.INF": b"[autorun]",
    }
    drop.put("cd", zipped(files))
    report = drop.run()
    assert report.tally.message == "sources archived 1, images stored 2, files that are no images 3, files skipped 4"
    assert not report.tally.problems
    assert report.done == report.total == 5


def test_the_order_is_the_named_one_or_found_by_accession_number(drop: Drop) -> None:
    patient_id = drop.clinic.patient("P123")
    first, second, third = (drop.clinic.order(patient_id) for _ in range(3))
    number = drop.clinic.rows(f"SELECT accession_number FROM radiology_order WHERE id = {first}")[0][0]
    drop.put("found", {"a": ct(1, AccessionNumber=number)})
    drop.put(f"order-{second}.dcm", ct(2, study_uid="1.2.3", series_uid="1.2.3.1"))
    drop.put("chest", {"a.jpg": picture(), "b.png": picture("PNG")})
    assert drop.run(source="chest", order_id=third).tally.message == "sources archived 1, images stored 2"
    assert drop.run().tally.message == "sources archived 2, images stored 2"
    studies = drop.clinic.rows("SELECT radiology_order_id, image_count FROM radiology_study ORDER BY 1")
    assert [tuple(row) for row in studies] == [(first, 1), (second, 1), (third, 2)]


def test_pictures_without_an_order_are_one_study_or_join_the_one_beside_them(drop: Drop) -> None:
    drop.put("pictures", {"a.jpg": picture(), "b.jpg": picture(colour=(1, 2, 200))})
    drop.put("both", study(1) | {"c.jpg": picture(colour=(9, 200, 9))})
    drop.run()
    studies = drop.clinic.rows("SELECT image_count, patient_code FROM radiology_study ORDER BY 2")
    assert [tuple(row) for row in studies] == [(2, ""), (2, "P123")]


def test_a_file_that_a_rule_keeps_out_is_held_and_the_others_are_stored(drop: Drop) -> None:
    drop.clinic.stow(ct(1, PatientID="P999", study_uid="1.2.9", series_uid="1.2.9.1"))
    files = study(3) | {"mixed": ct(7, study_uid="1.2.9", series_uid="1.2.9.1"), "torn": ct(9)[:-200]}
    drop.put(NAME, files)
    report = drop.run()
    assert report.tally.message == "sources archived 1, images stored 3, images held 2"
    held = drop.clinic.rows("SELECT id, rule, source FROM image_upload WHERE state = 'held' ORDER BY rule")
    assert [(row.rule, row.source) for row in held] == [("length", "drop"), ("study_of_another", "drop")]
    assert sorted(path.name for path in drop.clinic.spool()) == sorted(str(row.id) for row in held)
    assert {row["held as upload"] for row in report.rows() if row["outcome"] == "held"} == {row.id for row in held}
    drop.put("again", files)
    assert drop.run().tally.message == "sources archived 1, images repeated 3, images held 2"
    assert len(drop.clinic.rows("SELECT 1 FROM image_upload WHERE state = 'held'")) == 2


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        (study(2) | {"x": ct(3, PatientID="P999")}, "several_patients_in_a_study"),
        ({"a": b"x", "b": b"y", "c": ct(1)}, "most_files_cannot_be_read"),
        ({"README.TXT": b"x"}, "no_image"),
    ],
)
def test_a_source_that_is_wrong_as_a_whole_is_quarantined_with_its_reason(
    drop: Drop, files: dict[str, bytes], rule: str
) -> None:
    drop.put(NAME, files)
    assert drop.run().tally.problems == {"sources quarantined": 1}
    assert (drop.uids(), drop.clinic.spool()) == ([], [])
    reason = (drop.base / "quarantine" / "north" / f"{NAME}.reason.txt").read_text()
    assert reason.startswith(f"refused: {rule}\n")
    assert NAME not in reason
    assert "P999" not in reason
    assert {path.name for path in (drop.base / "quarantine" / "north" / NAME).iterdir()} == set(files)


def test_two_studies_for_one_order_and_an_order_that_is_not_there_are_quarantined(drop: Drop) -> None:
    order = drop.clinic.order(drop.clinic.patient("P123"))
    drop.put(f"order-{order}", {"a": ct(1), "b": ct(2, study_uid="1.2.3", series_uid="1.2.3.1")})
    drop.put("order-999999.dcm", ct(1))
    rules = {source.rule for source in drop.run().sources}
    assert rules == {"several_studies_of_an_order", "no_such_order"}
    assert drop.uids() == []


def test_a_series_with_gaps_and_an_unknown_modality_are_stored_and_told_of(drop: Drop) -> None:
    drop.put("a", {"1": ct(1), "2": ct(2), "5": ct(5, Modality="ZZ", SOPInstanceUID=f"{SERIES}.5")})
    message = drop.run().tally.message
    assert "images stored 3" in message
    assert "files told of: series with gaps 3" in message
    assert "files told of: modality unknown 1" in message
    [check] = drop.clinic.rows("SELECT suite, is_met, rows, failed_rows, result FROM quality_check")
    assert (check.suite, check.is_met, check.rows, check.failed_rows) == ("dropped-studies", False, 3, 3)
    assert "P123" not in str(check.result)


@pytest.mark.parametrize(("said", "told"), [(3, True), (2, False), (None, False)])
def test_a_series_of_fewer_images_than_its_files_say_is_told_of(drop: Drop, said: int | None, told: bool) -> None:
    drop.put("a", {str(n): ct(n, NumberOfSeriesRelatedInstances=said) for n in (1, 2)})
    message = drop.run().tally.message
    assert "images stored 2" in message
    assert ("files told of: series with gaps 2" in message) == told


def test_what_is_still_being_copied_waits(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drop.put("slow", study(1))
    with (path / "IMG002").open("wb") as writing:
        writing.write(ct(2))
        writing.flush()
        assert drop.run().tally.message == "nothing to do"
        with pytest.raises(NotFoundError):
            drop.run(source="slow")
    monkeypatch.setattr(sources, "SETTLED_SECONDS", 60.0)
    os.utime(path / "IMG001", (1, 1))
    assert drop.run().tally.message == "nothing to do"
    drop.put("half.part", b"x")
    assert drop.run(source=sources.fingerprint_of("slow")).tally.message == "sources archived 1, images stored 2"
    assert drop.names("inbox") == ["half.part"]


def test_a_source_that_is_asked_for_alone(drop: Drop) -> None:
    drop.put("a", study(1))
    drop.put("b", study(2))
    assert drop.run("north", "b").tally.message == "sources archived 1, images stored 2"
    assert drop.names("inbox") == ["a"]
    with pytest.raises(NotFoundError):
        drop.run("north", "c")
    with pytest.raises(InvalidError):
        drop.run("north", order_id=1)


def test_a_folder_that_is_no_tenants_is_told_of_and_another_tenants_is_its_own(
    drop: Drop, make_clinic: Callable[[str], Clinic]
) -> None:
    other = Drop(make_clinic("south"), drop.base)
    other.put("a", study(1))
    drop.put("a", study(1))
    strange = drop.base / "inbox" / "unheard-of"
    strange.mkdir()
    (strange / "a.dcm").write_bytes(ct(1))
    assert drop.run().tally.message == "sources archived 2, images stored 2; folders of no tenant 1"
    assert len(drop.uids()) == len(other.uids()) == 1
    assert (strange / "a.dcm").exists()


def test_a_name_that_is_no_text_is_stored_as_one(drop: Drop) -> None:
    os.makedirs(drop.folder / "x")
    with open(os.fsencode(drop.folder / "x") + b"/\xff\x07.dcm", "wb") as file:
        file.write(ct(1))
    assert drop.run().tally.message == "sources archived 1, images stored 1"


def test_archived_sources_lie_by_day(drop: Drop) -> None:
    drop.put("a.dcm", ct(1))
    drop.run()
    [found] = drop.base.glob("archive/north/*/*/*/*")
    assert found.relative_to(drop.base).parts[2:5] == tuple(time.strftime("%Y %m %d", time.gmtime()).split())
    assert Path(found).read_bytes() == ct(1)
