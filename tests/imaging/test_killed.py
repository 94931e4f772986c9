"""Killed at any step of taking an image in: rows and objects agree, and sent again it is there once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.launcher.parts import ROOT
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct
from tests.imaging.killed_intake import STEPS

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_no_row_is_without_its_object_and_the_next_try_ends_it(
    clinic: Clinic, tmp_path: Path, step: str
) -> None:
    clinic.stow(ct(1))
    file = tmp_path / "image.dcm"
    file.write_bytes(ct(2))
    line = [sys.executable, "-m", "tests.imaging.killed_intake", step, str(file), clinic.slug]
    with subprocess.Popen(line, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    keys = {row.file_key for row in clinic.rows("SELECT file_key FROM radiology_image")}
    there = {path.relative_to(clinic.media / clinic.slug).as_posix() for path in clinic.objects()}
    assert keys <= there
    assert len(keys) == (2 if step == "committed" else 1)
    assert len(there) == (2 if step in ("put", "counted", "committed") else 1)
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(len(keys),)]
    assert clinic.stow(ct(2)).status_code == 200
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(2,)]
    rows = {row.file_key: row.checksum for row in clinic.rows("SELECT file_key, checksum FROM radiology_image")}
    assert len(rows) == 2
    assert all((clinic.media / clinic.slug / key).is_file() for key in rows)
