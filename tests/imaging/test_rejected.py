"""Which images of a study are not to be used: told to whoever may see the study, a viewer's address included."""

from typing import Any

import pytest

from tests.api.helpers import audited, client, make_token, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.imaging_world import API, OTHER_STUDY, World, world

pytestmark = pytest.mark.api
__all__ = ["world"]


def rejected(asker: Any, study_uid: str = STUDY) -> Any:
    answer = asker.get(f"/dicom-web/studies/{study_uid}/rejected")
    return answer.json() if answer.status_code == 200 else answer.status_code


def reject(clinic: Clinic, image_uid: str, note: str) -> None:
    [image] = clinic.rows("SELECT id FROM radiology_image WHERE image_uid = :uid", uid=image_uid)
    answer = clinic.doctor.post(f"{API}/images/{image.id}/reject", json={"note": note})
    assert answer.status_code == 200, answer.text


def test_viewers_and_people_are_told_the_images_and_notes(world: World) -> None:
    clinic = world.clinic
    token = make_token(clinic.tenant_id, int(clinic.doctor.headers["X-Test-User"]), "imaging:read")
    askers = (with_token(world.token), with_token(token), clinic.doctor, clinic.technician)
    assert [rejected(asker) for asker in askers] == [[]] * 4
    reject(clinic, f"{SERIES}.2", "Wrong side\nTake it again")
    reject(clinic, f"{SERIES}.1", "Moved")
    told = [
        {"image_uid": f"{SERIES}.1", "note": "Moved"},
        {"image_uid": f"{SERIES}.2", "note": "Wrong side\nTake it again"},
    ]
    assert [rejected(asker) for asker in askers] == [told] * 4
    assert rejected(clinic.doctor, OTHER_STUDY) == []


def test_nobody_elses_token_reads_them(world: World) -> None:
    reject(world.clinic, f"{SERIES}.1", "Moved")
    assert rejected(with_token(world.other_token)) == 404
    assert rejected(with_token(world.other_token), OTHER_STUDY) == []
    assert rejected(with_token(world.token), OTHER_STUDY) == 404
    assert rejected(client()) == 401
    assert rejected(world.clinic.person("nurse")) == 403


def test_a_study_without_an_order_is_the_technicians(clinic: Clinic) -> None:
    assert clinic.stow(ct()).status_code == 200
    assert (rejected(clinic.technician), rejected(clinic.doctor)) == ([], 404)


def test_that_somebody_asked_is_noted_once(world: World) -> None:
    before = len(audited(world.clinic.tenant_id, "patient.read"))
    asker = world.clinic.person("doctor")
    for _ in range(2):
        assert rejected(asker) == []
    assert len(audited(world.clinic.tenant_id, "patient.read")) == before + 1
