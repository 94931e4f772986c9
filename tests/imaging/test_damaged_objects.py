"""What is told of an image is made of checked bytes; of a damaged one it is what its row says, until it is sound."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from models.imaging.stores import descriptions
from models.imaging.stores.descriptions import Described
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tasks.imaging import completing, scrubbing
from tasks.imaging.completing import Completing
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
SERIES_PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}"
PATH = f"{SERIES_PATH}/instances/{SERIES}.1"
PIXELS = ct()[-2048:]
OCTETS = {"Accept": "application/octet-stream"}


def rot(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def scrub() -> None:
    made = scrubbing.begin("", SYSTEM, 30, full=True, most=1000)
    while scrubbing.check(made):
        pass


def problems(clinic: Clinic) -> list[str | None]:
    return [row.problem for row in clinic.rows("SELECT problem FROM radiology_image ORDER BY id")]


def kept(clinic: Clinic) -> tuple[int, int]:
    tables = ("image_description", "series_metadata")
    return tuple(len(clinic.rows(f"SELECT 1 FROM {table}")) for table in tables)  # type: ignore[return-value]


def of_instance(clinic: Clinic) -> list[dict[str, dict[str, list[object]]]]:
    answer = clinic.technician.get(f"{PATH}/metadata")
    assert answer.status_code == 200, answer.text
    told: list[dict[str, dict[str, list[object]]]] = answer.json()
    return told


def of_series(clinic: Clinic) -> list[dict[str, dict[str, list[object]]]]:
    answer = clinic.technician.get(f"{SERIES_PATH}/metadata")
    assert answer.status_code == 200, answer.text
    told: list[dict[str, dict[str, list[object]]]] = answer.json()
    return told


@pytest.mark.parametrize("ask", [of_instance, of_series])
@pytest.mark.parametrize("when", ["before anybody asked", "before a scrub", "after both"])
def test_nothing_that_damaged_bytes_say_is_told_or_kept(
    clinic: Clinic, ask: Callable[[Clinic], list[dict[str, dict[str, list[object]]]]], when: str
) -> None:
    clinic.stow(ct(1), ct(2))
    damaged = next(path for path in clinic.objects() if path.parent.name.endswith(".1"))
    if when != "before anybody asked":
        assert ask(clinic)[0]["00281050"]["Value"] == [40]
    rot(damaged, ct().replace(b"Doe^Jo", b"Poe^Mo"))
    if when != "before anybody asked":
        scrub()
    if when == "after both":
        rot(damaged, ct())
        scrub()
    poor = ask(clinic)
    assert poor[0]["00100010"]["Value"] == [{"Alphabetic": "Doe^Jo"}]
    assert problems(clinic) == [None if when == "after both" else "corrupt", None]
    assert ("00281050" in poor[0]) == (when == "after both")
    if when != "after both":
        assert clinic.rows("SELECT 1 FROM image_description WHERE image_id = 1") == []
        assert clinic.rows("SELECT 1 FROM series_metadata") == []
        assert len(of_series(clinic)) == 2
        assert completing.complete("", SYSTEM, Completing.describe).tally.problems == {}
    rot(damaged, ct())
    scrub()
    assert problems(clinic) == [None, None]
    [rich, other] = of_series(clinic)
    assert rich["00281050"]["Value"] == other["00281050"]["Value"] == [40]
    assert ask(clinic)[0]["00281050"]["Value"] == [40]
    assert kept(clinic) == (2, 1)


def test_frames_of_damaged_bytes_do_not_say_where_those_of_the_sound_ones_lie(clinic: Clinic) -> None:
    clinic.stow(ct())
    [path] = clinic.objects()
    rot(path, ct(StudyDescription="X" * 60))
    for suffix in ("/frames/1", "/bulkdata/7FE00010"):
        answer = clinic.technician.get(PATH + suffix, headers=OCTETS)
        assert (answer.status_code, answer.json()["error"]) == (500, "the stored file of image 1 is corrupt")
    rot(path, ct())
    scrub()
    for suffix in ("/frames/1", "/bulkdata/7FE00010"):
        answer = clinic.technician.get(PATH + suffix, headers=OCTETS)
        assert (answer.status_code, answer.content) == (200, PIXELS)


def test_places_that_were_forgotten_are_not_remembered_by_a_process(clinic: Clinic) -> None:
    """Of damaged bytes, as they were kept before they were checked."""
    clinic.stow(ct())
    assert clinic.technician.get(PATH + "/frames/1", headers=OCTETS).content == PIXELS
    [row] = clinic.rows("SELECT places_deflated AS p FROM image_description")
    places = json.loads(zlib.decompress(row.p))
    [[[start, length]]] = places["frames"]
    places["frames"] = [[[start - 60, length]]]
    del places["checksum"]
    clinic.rows("DELETE FROM image_description RETURNING 1")
    [image] = clinic.rows("SELECT checksum FROM radiology_image")
    with tenant_session(clinic.tenant_id) as session:
        deflated = zlib.compress(json.dumps(places).encode())
        descriptions.keep(session, clinic.tenant_id, [Described(1, image.checksum, b"", deflated)])
    assert clinic.technician.get(PATH + "/frames/1", headers=OCTETS).content != PIXELS
    [path] = clinic.objects()
    for content in (b"rotten", ct()):
        rot(path, content)
        scrub()
    assert clinic.technician.get(PATH + "/frames/1", headers=OCTETS).content == PIXELS


def test_what_was_made_of_other_bytes_than_the_images_own_is_not_kept(clinic: Clinic) -> None:
    """A picture is wrapped anew while its old wrapping is described."""
    clinic.stow(ct())
    with tenant_session(clinic.tenant_id) as session:
        descriptions.keep(session, clinic.tenant_id, [Described(1, "0" * 64, b"", b"")])
    assert kept(clinic) == (0, 0)


def test_a_damaged_image_does_not_have_its_series_made_by_every_run(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    clinic.stow(ct(1), ct(2))
    clinic.rows("UPDATE radiology_series SET changed_at = now() - interval '1 minute' RETURNING 1")
    clinic.objects()[0].unlink()
    assert completing.complete("", SYSTEM, Completing.describe).tally.message == "images described 1"
    monkeypatch.setattr(descriptions, "make_metadata", None)
    for _ in range(2):
        assert completing.complete("", SYSTEM, Completing.describe).tally.message == "nothing to do"
    assert problems(clinic) == ["missing", None]
