"""Images whose names, files and folders say whose they are, through every flow of imaging, well and badly."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.imaging.complete_uploads import complete_uploads
from flows.imaging.move_objects import move_objects
from flows.imaging.scrub_storage import scrub_storage
from flows.imaging.upload_study import upload_study
from models.kernel.settings import settings
from tasks.imaging import sources
from tests.conftest import Database
from tests.imaging.dicoms import ct
from tests.imaging.drops import zipped
from tests.instruments.world import World, run_sql
from tests.kernel.trail import as_superuser

FAMILY, GIVEN, CODE, BORN = "Zyxwhistle", "Quetzalina", "CODE-77310", "1931-07-17"
PATIENT: dict[str, Any] = {
    "PatientName": f"{FAMILY}^{GIVEN}",
    "PatientID": CODE,
    "PatientBirthDate": BORN.replace("-", ""),
}
NAME = f"{FAMILY}_{GIVEN}_{CODE}"
OTHER: dict[str, Any] = {"study_uid": "1.2.3", "series_uid": "1.2.3.1"}


@dataclass(frozen=True)
class Images:
    """Where images are dropped and kept."""

    inbox: Path
    media: Path


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Images:
    """Outside the state folder, where the patient's data may lie."""
    made = Images(tmp_path / "radiology" / "inbox", tmp_path / "media")
    monkeypatch.setattr(sources, "SETTLED_SECONDS", 0.0)
    monkeypatch.setenv("LABWIRE_RADIOLOGY_INBOX_DIR", str(made.inbox))
    monkeypatch.setenv("LABWIRE_MEDIA_ROOT", str(made.media))
    made.inbox.mkdir(parents=True)
    settings.cache_clear()
    return made


async def provoke_with_images(world: World, database: Database, images: Images) -> list[object]:
    """Stored, held, quarantined, corrupt, orphaned, told of; and a database that quotes values."""
    folder = images.inbox / world.slug
    (folder / NAME).mkdir(parents=True)
    for number in (1, 2):
        (folder / NAME / f"{NAME}_{number}.dcm").write_bytes(ct(number, **PATIENT))
    (folder / NAME / f"{NAME}_torn.dcm").write_bytes(ct(3, **PATIENT)[:-100])
    (folder / f"{NAME}.zip").write_bytes(zipped({f"{NAME}/a": ct(1, **PATIENT), f"{NAME}/b": ct(9, PatientID="other")}))
    (folder / f"{NAME}.dcm").write_bytes(f"{FAMILY} is no image".encode())
    results = [await ended(upload_study)]
    assert all(words in str(results) for words in ("images stored 2", "images held 1", "sources quarantined 2")), (
        results
    )
    stored = sorted(path for path in (images.media / world.slug / "radiology").rglob("*") if path.is_file())
    stored[0].unlink()
    orphan = stored[1].parent / f"{NAME}.dcm"
    orphan.write_bytes(PATIENT["PatientName"].encode())
    os.utime(orphan, (1_700_000_000,) * 2)
    run_sql(
        "INSERT INTO image_upload (tenant_id, source, study_uid, series_uid, image_uid, filename, file_size, "
        "mime_type, checksum, touched_at) "
        f"VALUES ({world.lab.tenant_id}, 'sync', '1.2', '1.2.1', '1.2.1.1', '{NAME}', 9, "
        f"'application/dicom', '{'0' * 64}', now() - interval '2 days')"
    )
    results += [await ended(complete_uploads), await ended(scrub_storage, full=True)]
    assert "images missing 1" in str(results)
    results.append(await ended(move_objects, from_backend="filesystem", to_backend="s3"))
    message = f"RAISE EXCEPTION 'no room for {GIVEN} {FAMILY}, born {BORN}' USING DETAIL = 'Key (code)=({CODE})'"
    with as_superuser(database) as execute:
        execute(f"CREATE FUNCTION full_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {message}; END $$")
        execute("CREATE TRIGGER full_up BEFORE INSERT ON radiology_study FOR EACH ROW EXECUTE FUNCTION full_up()")
        execute("CREATE TRIGGER full_up BEFORE UPDATE ON radiology_image FOR EACH ROW EXECUTE FUNCTION full_up()")
    (folder / f"{NAME}.dcm").write_bytes(ct(1, **PATIENT, **OTHER))
    results += [await ended(upload_study), await ended(scrub_storage, full=True)]
    return results


async def ended(flow: object, **parameters: object) -> object:
    """What the run raised or returned."""
    state = await flow(**parameters, return_state=True)  # type: ignore[operator]
    return await state.aresult(raise_on_failure=False)
