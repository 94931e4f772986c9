"""A real API process is killed while several files come in one request; each of them ends as one image."""

import hashlib

import httpx
import pytest

from tests.api.helpers import make_token
from tests.conftest import Database
from tests.imaging.conftest import BINARIES, Clinic, form_of
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.lines import cut, wait_until
from tests.imaging.test_api_killed import nothing_is_stored
from tests.launcher.running import PATIENCE_SECONDS
from tests.vitals.serving import servers

pytestmark = pytest.mark.chaos
FILES = [ct(number, size=300) for number in range(1, 8)]


@pytest.mark.parametrize("moment", ["in the middle", "bytes written", "some stored", "all stored"])
def test_with_a_new_process_each_ends_as_one_image(clinic: Clinic, database: Database, moment: str) -> None:
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in range(1, 8)]
    declared = clinic.declare(FILES, study_uid=STUDY, images=images).json()["uploads"]
    files = {one["id"]: file for one, file in zip(declared, FILES, strict=True)}
    body, content_type = form_of(files)
    after = len(body) - len(FILES[0]) if moment == "in the middle" else len(body)

    def stored() -> int:
        return len(clinic.rows("SELECT 1 FROM image_upload WHERE state = 'stored'"))

    with servers("api-1") as hub:

        def is_there() -> bool:
            if moment in ("in the middle", "bytes written"):
                return len(clinic.spool()) >= 4
            return stored() >= (1 if moment == "some stored" else len(FILES))

        with cut(hub.url, token, f"POST {BINARIES}", {"Content-Type": content_type}, body, after=after):
            if moment in ("in the middle", "bytes written"):
                with nothing_is_stored(database):
                    wait_until(is_there, PATIENCE_SECONDS)
                    hub.kill("api-1")
            else:
                wait_until(is_there, PATIENCE_SECONDS)
                hub.kill("api-1")
        hub.start("api-1")
        hub.wait()
        with httpx.Client(base_url=hub.url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client:
            answer = client.post(BINARIES, content=body, headers={"Content-Type": content_type}, timeout=60)
            assert answer.status_code == 200, answer.text
    assert {one["upload"]["state"] for one in answer.json()["uploads"]} == {"stored"}
    sums = sorted(hashlib.sha256(file).hexdigest() for file in FILES)
    assert sorted(row.checksum for row in clinic.rows("SELECT checksum FROM radiology_image")) == sums
    assert sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in clinic.objects()) == sums
    assert clinic.rows("SELECT image_count FROM radiology_study") == [(len(FILES),)]
    assert clinic.spool() == []
