"""docs/devices.md: its command and its program run as they are written, and its figures are those of the code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.vitals.doors import MOST_READINGS
from models.vitals.measures import MEASURES
from models.vitals.stores.admission import DEVICE_RATE, TENANT_RATE
from tests.vitals.conftest import Worn

pytestmark = pytest.mark.api
DOCUMENT = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()


def block(language: str) -> str:
    (written,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(written)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")
def test_the_command_and_the_program_send_a_reading_each(worn: Worn, address: str) -> None:
    given = os.environ | {"LABWIRE_URL": address, "DEVICE_KEY": worn.key}
    for command in (["/bin/sh", "-c", block("sh")], [sys.executable, "-c", block("python")]):
        done = subprocess.run(  # what is run is our own documentation
            command, env=given, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "vital_sign_id" in done.stdout
    assert len(worn.clinic.rows("SELECT FROM vital_sign")) == 2


def test_its_figures_are_those_of_the_code() -> None:
    assert f"up to {MOST_READINGS:,} readings" in DOCUMENT
    assert f"{DEVICE_RATE:,} readings a minute for a device and {TENANT_RATE:,} for a laboratory" in DOCUMENT
    for measure in MEASURES:
        (row,) = re.findall(rf"\n\| [^|\n]*`{measure.name}`.*\n", DOCUMENT)
        assert f"{measure.lowest} to {measure.highest}" in row
