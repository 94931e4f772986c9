"""Studies are looked for by any modality their files may name, whether DICOM defines it or not."""

import pytest

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct

pytestmark = pytest.mark.api
API = "/api/v1/radiology"


def test_studies_are_found_by_any_modality_their_files_may_name(clinic: Clinic) -> None:
    for number, modality in enumerate(("ZZ", "DS", "MY_OWN SCANNER 7")):  # not defined, retired, of 16 characters
        file = ct(1, study_uid=f"1.2.{number}", series_uid=f"1.2.{number}.1", Modality=modality, PatientID=modality)
        assert clinic.stow(file).status_code == 200
    for given, expected in (
        *(("ZZ", ["ZZ"]), ("zz", ["ZZ"]), (" ZZ ", ["ZZ"]), ("DS", ["DS"]), ("my_own scanner 7", ["MY_OWN SCANNER 7"])),
        *(("CT", []), ("Z", []), ("Z_", []), ("0 _", [])),
    ):
        answer = clinic.technician.get(f"{API}/studies/", params={"modality": given})
        assert (answer.status_code, [study["patient_id"] for study in answer.json()]) == (200, expected), given
        found = clinic.technician.get("/dicom-web/studies", params={"ModalitiesInStudy": given.strip().upper()})
        assert [study["00100020"]["Value"][0] for study in found.json()] == expected, given
    for given in ("", "  ", "C*", "C-T", "CT,MR", "CT\\MR", "straße", "\uff23\uff34", "C\nT", "A" * 17):
        refused = clinic.technician.get(f"{API}/studies/", params={"modality": given})
        assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, "modality"), given
