"""Killed at any step of taking images in: rows and objects agree, and sent again they are there once."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deployments.launcher.parts import ROOT
from models.kernel.settings import settings
from tasks.clients.storage.backends import storage_for_new
from tasks.imaging.objects import content_of
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture
from tests.imaging.killed_intake import STEPS, steps
from tests.imaging.s3_servers import S3Server

pytestmark = pytest.mark.chaos


@dataclass
class Taken:
    """What a clinic has: its rows, by object, and its objects."""

    rows: dict[str, str]
    objects: set[str]
    images: int

    @classmethod
    def of(cls, clinic: Clinic) -> "Taken":
        """As database and storage say; the counts of studies and series are those of the rows."""
        rows = clinic.rows("SELECT file_key, checksum, wrapped_key, wrapped_checksum FROM radiology_image")
        counted = "SELECT COALESCE(sum(image_count), 0) FROM"
        assert clinic.rows(f"{counted} radiology_study") == clinic.rows(f"{counted} radiology_series") == [(len(rows),)]
        keys = {row.file_key: row.checksum for row in rows}
        keys |= {row.wrapped_key: row.wrapped_checksum for row in rows if row.wrapped_key}
        return cls(keys, {each.key for each in storage_for_new(clinic.slug).list()}, len(rows))


def kill_at(clinic: Clinic, folder: Path, step: str, files: Sequence[bytes], order_id: int = 0) -> Taken:
    """Take the files in by another process, kill that at the step; no row is without its object."""
    name = "wound.jpg" if order_id else "instance.dcm"  # as a STOW request calls each
    paths = [folder / str(number) / name for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.parent.mkdir()
        path.write_bytes(content)
    line = [sys.executable, "-m", "tests.imaging.killed_intake", step, clinic.slug, str(order_id), *map(str, paths)]
    with subprocess.Popen(line, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGKILL)
    found = Taken.of(clinic)
    assert set(found.rows) <= found.objects
    return found


def kept_at(step: str, objects: int) -> int:
    """How many objects are there when this step is reached."""
    return int(step.removeprefix("put ")) if step.startswith("put ") else objects * (step in ("counted", "committed"))


def ends_whole(clinic: Clinic, answer: Any, *, images: int, objects: int) -> None:
    """Sent again, everything is there once, byte by byte."""
    assert answer.status_code == 200, answer.text
    found, storage = Taken.of(clinic), storage_for_new(clinic.slug)
    assert (found.images, len(found.rows), set(found.rows)) == (images, objects, found.objects)
    assert {key: content_of(storage, key)[0] for key in found.rows} == found.rows


@pytest.mark.parametrize("step", STEPS)
def test_one_image(clinic: Clinic, tmp_path: Path, step: str) -> None:
    clinic.stow(ct(1))
    found = kill_at(clinic, tmp_path, step, [ct(2)])
    assert (found.images, len(found.objects)) == (1 + (step == "committed"), 1 + kept_at(step, 1))
    ends_whole(clinic, clinic.stow(ct(2)), images=2, objects=2)


@pytest.mark.parametrize("step", steps(4))
def test_a_group_of_four(clinic: Clinic, tmp_path: Path, step: str) -> None:
    """The next of a series are stored by one transaction: all of them or none."""
    clinic.stow(ct(1))
    files = [ct(number) for number in (2, 3, 4, 5)]
    found = kill_at(clinic, tmp_path, step, files)
    assert (found.images, len(found.objects)) == (1 + 4 * (step == "committed"), 1 + kept_at(step, 4))
    ends_whole(clinic, clinic.stow(*files), images=5, objects=5)


@pytest.mark.parametrize("step", steps(2))
def test_a_picture_and_what_is_made_of_it(clinic: Clinic, tmp_path: Path, step: str) -> None:
    order_id = clinic.order(clinic.patient())
    found = kill_at(clinic, tmp_path, step, [picture()], order_id)
    assert (found.images, len(found.objects)) == (step == "committed", kept_at(step, 2))
    again = clinic.technician.post(
        "/api/v1/radiology/images",
        data={"radiology_order_id": str(order_id)},
        files={"files": ("wound.jpg", picture(), "image/jpeg")},
    )
    ends_whole(clinic, again, images=1, objects=2)


@pytest.mark.parametrize("step", STEPS)
def test_one_image_to_s3(
    clinic: Clinic, tmp_path: Path, step: str, moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    for each in list(storage_for_new(clinic.slug).list()):  # of the step before: the server stays
        storage_for_new(clinic.slug).remove(each.key)
    clinic.stow(ct(1))
    found = kill_at(clinic, tmp_path, step, [ct(2)])
    assert (found.images, len(found.objects)) == (1 + (step == "committed"), 1 + kept_at(step, 1))
    ends_whole(clinic, clinic.stow(ct(2)), images=2, objects=2)
    assert clinic.objects() == []
