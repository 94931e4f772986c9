"""Files with vital signs: one of 100,000 readings against COPY of the same rows, and 10,000 of one reading each."""

import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.database import fresh_database
from benchmarks.results import Row
from benchmarks.vitals_rows import copy, make_devices, memory_mb

READINGS, FILES, DEVICES, ROUNDS = 100_000, 10_000, 100, 3
FILES_A_SECOND = 300
MOST_MB = 300


def measure() -> list[Row]:
    """Rows for the figures; the rounds of one file and of COPY take turns, and their medians are compared."""
    with fresh_database() as version, tempfile.TemporaryDirectory(prefix="labwire-files-") as folder:
        print(version)
        tenant_id, _ = make_devices("DEV", DEVICES)
        with _inbox(Path(folder)) as inbox:
            return _measure(tenant_id, inbox)


def _measure(tenant_id: int, inbox: Path) -> list[Row]:
    begin = datetime.now(UTC) - timedelta(days=20)
    _one_file(inbox, begin, READINGS // 50)  # imports the suite
    before, _ = memory_mb(os.getpid())
    ours, copied, grown = [], [], 0.0
    for number in range(1, ROUNDS + 1):
        started = begin + timedelta(milliseconds=number)
        ours.append(_one_file(inbox, started, READINGS))
        grown = grown or memory_mb(os.getpid())[1] - before  # COPY's rows are not the run's
        of_the_round = "recorded_at >= %s AND mod(extract(microseconds FROM recorded_at - %s)::bigint, 1000000) = 0"
        rows, seconds = copy(tenant_id, of_the_round, [started, started])
        if rows != READINGS:
            raise RuntimeError(f"COPY took {rows} rows")
        copied.append(seconds)
        print(f"round {number}: file {ours[-1]:.2f} s, COPY {copied[-1]:.2f} s", flush=True)
    mine, limit = READINGS / statistics.median(ours), READINGS / statistics.median(copied)
    small = _many_files(inbox, begin + timedelta(milliseconds=ROUNDS + 1))
    return [
        Row(f"vitals: one file of {READINGS:,}", mine, "readings/s", "COPY of the same rows", limit, ">= 0.25"),
        Row(f"vitals: {FILES:,} files of one", FILES / small, "files/s", "the goal", FILES_A_SECOND, ">= 1.0"),
        Row("vitals: one file, growth of the process", grown, "MB", "the promise", MOST_MB, "<= 1.0"),
    ]


@contextmanager
def _inbox(folder: Path) -> Iterator[Path]:
    from models.kernel.settings import settings
    from tasks.vitals import inbox

    inbox.SETTLED_SECONDS = 0.0
    (folder / "inbox").mkdir()
    os.environ |= {"LABWIRE_IOT_INBOX_DIR": str(folder / "inbox"), "LABWIRE_IOT_DEFAULT_TENANT": "clinic"}
    settings.cache_clear()
    yield folder / "inbox"


def _reading(number: int, begin: datetime) -> dict[str, Any]:
    return {
        "device_id": f"DEV{number % DEVICES:03}",
        "timestamp": (begin + timedelta(seconds=number)).isoformat(),
        "heart_rate": 60 + number % 40,
        "blood_pressure_systolic": 120,
        "blood_pressure_diastolic": 80,
        "temperature": 98.6,
        "temperature_unit": "F",
        "oxygen_saturation": 97.5,
    }


def _one_file(inbox: Path, begin: datetime, number: int) -> float:
    """Seconds from the claim to the archive, everything but Prefect's own share."""
    (inbox / "many.json").write_text(json.dumps([_reading(one, begin) for one in range(number)]))
    return _timed(f"files archived 1, readings stored {number}")


def _many_files(inbox: Path, begin: datetime) -> float:
    for number in range(FILES):
        (inbox / f"{number:05}.json").write_text(json.dumps(_reading(number, begin)))
    return _timed(f"files archived {FILES}, readings stored {FILES}")


def _timed(expected: str) -> float:
    from models.kernel.audit import SYSTEM
    from tasks.vitals.ingest import ingest

    os.sync()
    gc.collect()
    began = time.perf_counter()
    report = ingest("", SYSTEM)
    seconds = time.perf_counter() - began
    if report.tally.message != expected:
        raise RuntimeError(report.tally.message)
    return seconds
