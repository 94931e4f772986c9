"""`labwire study upload`: into the drop folder at once and under a name that says nothing."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli.main import app
from tests.imaging.dicoms import ct
from tests.imaging.drops import Drop, study, zipped

pytestmark = [pytest.mark.store]


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["study", "upload", *words])
    return result.exit_code, result.stdout


def test_folders_zips_and_files_are_dropped_and_stored(drop: Drop, tmp_path: Path) -> None:
    order = drop.clinic.order(drop.clinic.patient("P123"))
    folder = tmp_path / "Zyxwhistle"
    folder.mkdir()
    for name, content in study(2).items():
        (folder / name).write_bytes(content)
    (folder / "link").symlink_to("/etc/passwd")
    (tmp_path / "Zyxwhistle.zip").write_bytes(zipped(study(2, study_uid="1.2.3", series_uid="1.2.3.1")))
    (tmp_path / "Zyxwhistle.dcm").write_bytes(ct(9))
    made = []
    for path, more in ((folder, ["--order", str(order)]), (tmp_path / "Zyxwhistle.zip", []), (folder / "IMG001", [])):
        code, said = command(str(path), "--tenant", "north", *more, "--json")
        assert code == 0, said
        made.append(json.loads(said))
    assert [one["is_asked"] for one in made] == [False] * 3
    assert made[0]["source"].startswith(f"order-{order}-")
    assert sorted(drop.names("inbox")) == sorted(one["source"] for one in made)
    assert "Zyxwhistle" not in str(os.listdir(drop.folder))
    assert drop.run().tally.message == "sources archived 3, images stored 4, images repeated 1"
    [row] = drop.clinic.rows("SELECT image_count FROM radiology_study WHERE radiology_order_id IS NOT NULL")
    assert row.image_count == 2


@pytest.mark.parametrize("more", [("--tenant", "nobody"), ("--tenant", "north", "--order", "99")])
def test_what_is_not_there_is_said_in_a_line_and_nothing_is_dropped(
    drop: Drop, tmp_path: Path, more: tuple[str, ...]
) -> None:
    (tmp_path / "a.dcm").write_bytes(ct(1))
    code, _ = command(str(tmp_path / "a.dcm"), *more)
    assert code == 1
    assert drop.names("inbox") == []
