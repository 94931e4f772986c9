"""The two flows and the command: what a run says, its table, and the archive's retention."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from typer.testing import CliRunner

from deployments.cli.main import app
from flows.vitals.clean_archive import clean_archive
from flows.vitals.ingest_files import ingest_vitals_files
from models.kernel.audit import SYSTEM
from models.kernel.errors import InvalidError
from models.kernel.settings import settings
from tasks.vitals import archives
from tests.api.helpers import audited
from tests.factories import make_tenant
from tests.vitals.files import Drop, reading

NAME = "Jane-Doe-1961"


@pytest.mark.flow
@pytest.mark.rerun
async def test_a_run_says_what_became_of_each_file_and_a_second_finds_nothing(drop: Drop, prefect_server: None) -> None:
    drop.put(f"{NAME}.json", [reading(3), reading(2, heart_rate=1)])
    drop.put("bad.json", "not JSON")
    state = await ingest_vitals_files(return_state=True)
    assert state.is_failed()
    assert state.message == "files archived 1, readings stored 1, readings held 1; files quarantined 1"
    async with get_client() as client:
        key = ArtifactFilter(key=ArtifactFilterKey(any_=["ingest-vitals-files-files"]))
        [artifact] = await client.read_artifacts(artifact_filter=key)
    rows = json.loads(str(artifact.data))
    assert [(row["outcome"], row["rule"], row["stored"], row["held"]) for row in rows] == [
        ("quarantined", "not_json", 0, 0),
        ("archived", "", 1, 1),
    ]
    assert f"sha256: {rows[0]['sha256']}\n" in drop.reason("bad.json")
    assert NAME not in str(artifact.data)
    again = await ingest_vitals_files(return_state=True)
    assert (again.is_completed(), again.message) == (True, "nothing to do")
    assert drop.heart_rates() == [75]


def days(drop: Drop, *ago: int, folder: str = "") -> list[Path]:
    made = []
    for number in ago:
        day = datetime.now(UTC).date() - timedelta(days=number)
        path = drop.base / "archive" / folder / day.isoformat()
        path.mkdir(parents=True)
        (path / "x_20250101_000000.json").write_text("{}")
        made.append(path)
    return made


@pytest.mark.store
def test_days_past_the_limit_go_and_nothing_else(drop: Drop) -> None:
    kept = [*days(drop, 0, 89, 90), *days(drop, 90, folder="clinic")]
    gone = [*days(drop, 91, 400), *days(drop, 91, folder="clinic")]
    other = drop.base / "archive" / "2019-99-99"
    other.mkdir()
    elsewhere = drop.base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.json").write_text("{}")
    (drop.base / "archive" / "2001-01-01").symlink_to(elsewhere)
    assert archives.clean_archive(SYSTEM, days=90, dry_run=True).message == "files 3; dry run: nothing was removed"
    assert all(path.exists() for path in gone)
    assert archives.clean_archive(SYSTEM, days=90).message == "files 3"
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in [*kept, other, elsewhere / "precious.json"])
    assert archives.clean_archive(SYSTEM, days=90).message == "nothing to do"


def removed(tenant_id: int, action: str = "archive.clean") -> list[tuple[str, dict[str, Any]]]:
    """Day and counts of each audited removal."""
    return [(row.resource_id, row.changes) for row in audited(tenant_id, action)]


@pytest.mark.store
def test_each_day_that_goes_is_a_row_of_its_tenants_audit_trail(drop: Drop) -> None:
    other = make_tenant("other")
    root, mine, theirs = days(drop, 91)[0], days(drop, 92, folder="clinic")[0], days(drop, 93, folder="other")[0]
    (mine / f"{NAME}_20250101_000001.json").write_text("{}")
    archives.clean_archive(SYSTEM, days=90, dry_run=True)
    assert removed(drop.clinic.tenant_id) == []
    assert archives.clean_archive(SYSTEM, days=90).message == "files 4"
    assert removed(drop.clinic.tenant_id) == [(root.name, {"files": 1}), (mine.name, {"files": 2})]
    assert removed(other) == [(theirs.name, {"files": 1})]
    archives.clean_archive(SYSTEM, days=90)
    assert len(removed(drop.clinic.tenant_id)) == 2


@pytest.mark.store
def test_days_of_no_tenant_stay_and_are_told_of(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_IOT_DEFAULT_TENANT", "")
    settings.cache_clear()
    kept = [*days(drop, 91), *days(drop, 91, folder="unheard-of")]
    tally = archives.clean_archive(SYSTEM, days=90)
    assert (tally.counts, tally.problems) == ({}, {"days of no tenant": 2})
    assert all(path.exists() for path in kept)


@pytest.mark.store
def test_a_day_that_cannot_be_removed_is_told_of_and_written_down(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    [day] = days(drop, 91)

    def refused(_: Path) -> None:
        assert len(removed(drop.clinic.tenant_id)) == 1, "written down before anything goes"
        raise PermissionError

    monkeypatch.setattr("tasks.vitals.archives.shutil.rmtree", refused)
    assert archives.clean_archive(SYSTEM, days=90).problems == {"days not removed": 1}
    assert removed(drop.clinic.tenant_id, "archive.clean_failed") == [(day.name, {"files_left": 1})]


@pytest.mark.store
@pytest.mark.parametrize("number", [0, -1])
def test_a_retention_of_no_days_is_refused(drop: Drop, number: int) -> None:
    [today] = days(drop, 0)
    with pytest.raises(InvalidError):
        archives.clean_archive(SYSTEM, days=number)
    assert today.exists()


@pytest.mark.flow
@pytest.mark.rerun
async def test_the_nightly_flow_takes_days_and_a_dry_run(drop: Drop, prefect_server: None) -> None:
    days(drop, 10, 20)
    messages = [
        (await clean_archive(days=15, dry_run=True, return_state=True)).message,
        (await clean_archive(days=15, return_state=True)).message,
        (await clean_archive(days=15, return_state=True)).message,
    ]
    assert messages == ["files 1; dry run: nothing was removed", "files 1", "nothing to do"]


def command(*words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["process-iot-data", *words, "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.store
def test_the_command_does_the_same_without_prefect(drop: Drop) -> None:
    drop.put("a.json", [reading(3), reading(2, heart_rate=1)])
    days(drop, 91)
    done = {"success": True, "files_archived": 1, "readings_stored": 1, "readings_held": 1}
    assert command("--cleanup", "--cleanup-days", "90") == (0, done | {"archived_files_removed": 1})
    assert command() == (0, {"success": True})
    drop.put("bad.json", "{")
    assert command() == (1, {"success": False, "files_quarantined": 1})
