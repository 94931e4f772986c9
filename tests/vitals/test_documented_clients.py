"""The contract's own Python client and curl command, kept beside this file as they are written there, run unchanged.

Only what their reader is told to fill in is filled in: the address and the key. The command's time is the contract's,
of November 2025: the laboratory takes readings from so far back, as its limit allows it to.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.vitals.conftest import Worn

pytestmark = pytest.mark.contract
DOCUMENTED = Path(__file__).parent / "documented"
WRITTEN = datetime(2025, 11, 17, 10, 30, tzinfo=UTC)


def filled_in(name: str, address: str, key: str) -> str:
    text = (DOCUMENTED / name).read_text()
    for placeholder in ("https://your-ehr-server.com", "https://your-server.com"):
        text = text.replace(placeholder, address)
    assert "your_api_key_here" in text
    return text.replace("your_api_key_here", key)


def run(*command: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(command, env=outside, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_client_sends_a_reading(worn: Worn, address: str) -> None:
    answer = ast.literal_eval(run(sys.executable, "-c", filled_in("client.py.txt", address, worn.key)))
    [row] = worn.clinic.rows("SELECT * FROM vital_sign")
    sent = json.loads(row.raw)
    assert answer == {
        "success": True,
        "message": "Vital signs received successfully",
        "vital_sign_id": row.id,
        "alerts_triggered": 0,
        "timestamp": sent["timestamp"],
    }
    assert datetime.fromisoformat(sent["timestamp"]) == row.recorded_at
    assert (row.heart_rate, row.blood_pressure_systolic, row.blood_pressure_diastolic) == (75, 120, 80)
    assert (str(row.temperature), str(row.oxygen_saturation)) == ("37.00", "98.0")


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")
def test_the_curl_command_sends_a_reading(worn: Worn, address: str) -> None:
    days = (datetime.now(UTC) - WRITTEN).days + 2
    worn.clinic.worn_since(worn.device_id, days=days)
    worn.clinic.rows(
        "INSERT INTO vitals_policy (tenant_id, backfill_days) VALUES (:t, greatest(730, :d)) RETURNING tenant_id",
        t=worn.clinic.tenant_id,
        d=days,
    )
    answer = json.loads(run("/bin/sh", "-c", filled_in("request.sh", address, worn.key)))
    [row] = worn.clinic.rows("SELECT * FROM vital_sign")
    assert answer == {
        "success": True,
        "message": "Vital signs received successfully",
        "vital_sign_id": row.id,
        "alerts_triggered": 0,
        "timestamp": "2025-11-17T10:30:00Z",
    }
    assert (row.recorded_at, row.patient_id, row.heart_rate) == (WRITTEN, worn.patient_id, 75)
