"""The demonstration opens the address that a doctor was given, and sees when that is no viewer's page."""

from pathlib import Path

import pytest

from deployments.demo.imaging import viewer_page
from deployments.demo.scenario import ScenarioError
from models.kernel.settings import settings
from tests.api.helpers import client
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import STUDY, ct

pytestmark = pytest.mark.api


def address_of(clinic: Clinic) -> str:
    clinic.order(clinic.patient(), accession_number="A1")
    store(clinic, ct(AccessionNumber="A1"))
    [(study_id,)] = clinic.rows("SELECT id FROM radiology_study")
    return str(clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/viewer-url/").json()["viewer_url"])


def test_without_ohif_the_address_must_be_the_light_viewers(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_OHIF_DIR", str(tmp_path / "not fetched"))
    settings.cache_clear()
    address = address_of(clinic)
    assert viewer_page(client(), address, STUDY) == "light viewer"
    for wrong in (address.replace(STUDY, "1.2.3"), address[:-1], f"/login?next={STUDY}", f"/nowhere/{STUDY}"):
        with pytest.raises(ScenarioError):
            viewer_page(client(), wrong, STUDY)


def test_with_ohif_the_address_must_be_ohifs(clinic: Clinic) -> None:
    address = address_of(clinic)
    if not client().get("/viewer/").is_success:
        pytest.skip("OHIF was not fetched")
    assert viewer_page(client(), address, STUDY) == "OHIF"
    elsewhere = address.replace("/viewer/", "/elsewhere/")
    for wrong in (elsewhere, f"/login?next={STUDY}", f"/radiology/view/{STUDY}", address.replace(STUDY, "1")):
        with pytest.raises(ScenarioError):
            viewer_page(client(), wrong, STUDY)
