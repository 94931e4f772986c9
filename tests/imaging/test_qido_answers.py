"""QIDO-RS finds studies, series and instances by their attributes, as far as the caller may see them."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from models.imaging.matching import KEYS
from tests.api.helpers import audited
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
OTHER = "1.2.826.0.1.3680043.8.498.2"
THIRD = "1.2.826.0.1.3680043.8.498.3"


@pytest.fixture
def stocked(clinic: Clinic) -> Clinic:
    """Three studies: a CT of two series, an MR of another day, and one of a patient with a strange name."""
    clinic.stow(
        *(ct(number, SeriesNumber=1) for number in (1, 2)),
        ct(
            3,
            series_uid=f"{STUDY}.9",
            SeriesNumber=2,
            Modality="SR",
            SeriesDescription="Dose",
            BodyPartExamined="CHEST",
        ),
        ct(
            *(1,),
            study_uid=OTHER,
            series_uid=f"{OTHER}.1",
            PatientName="Okafor^Ada",
            PatientID="P_2%",
            StudyDate="20260301",
            StudyTime="0930",
            Modality="MR",
            AccessionNumber="ACC-2",
            StudyDescription="100% knee",
            ReferringPhysicianName="Bello^Ife",
        ),
        ct(
            *(1,),
            study_uid=THIRD,
            series_uid=f"{THIRD}.1",
            PatientName="山田^太郎",
            PatientID="P3",
            PatientBirthDate="08000101",
            StudyDate=None,
        ),
    )
    return clinic


def found(browser: TestClient, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = browser.get(f"/dicom-web{path}", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    listed: list[dict[str, Any]] = answer.json()
    return listed


def uids(rows: list[dict[str, Any]], tag: str = "0020000D") -> list[str]:
    return [row[tag]["Value"][0] for row in rows]


def test_a_study_is_told_with_its_counts_and_nothing_empty(stocked: Clinic) -> None:
    [study] = found(stocked.technician, "/studies", StudyInstanceUID=STUDY)
    assert study == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080020": {"vr": "DA", "Value": ["20260115"]},
        "00080030": {"vr": "TM", "Value": ["101500"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00081030": {"vr": "LO", "Value": ["CT of the chest"]},
        "00081190": {"vr": "UR", "Value": [f"http://127.0.0.1:8000/dicom-web/studies/{STUDY}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jo"}]},
        "00100020": {"vr": "LO", "Value": ["P123"]},
        "00100030": {"vr": "DA", "Value": ["19800131"]},
        "00100040": {"vr": "CS", "Value": ["F"]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "00200010": {"vr": "SH", "Value": ["1"]},
        "00201206": {"vr": "IS", "Value": [2]},
        "00201208": {"vr": "IS", "Value": [3]},
    }
    assert list(study) == sorted(study)


MATCHES: list[tuple[dict[str, str], list[str]]] = [
    ({}, [OTHER, STUDY, THIRD]),
    ({"PatientName": "doe^jo"}, [STUDY]),
    ({"00100010": "DOE*"}, [STUDY]),
    ({"PatientName": "*a*"}, [OTHER]),
    ({"PatientName": "Doe^J?"}, [STUDY]),
    ({"PatientName": "Doe"}, []),
    ({"PatientName": "山田*"}, [THIRD]),
    ({"PatientName": ""}, [OTHER, STUDY, THIRD]),
    ({"PatientName": "*"}, [OTHER, STUDY, THIRD]),
    ({"PatientID": "P_2%"}, [OTHER]),
    ({"PatientID": "P_*"}, [OTHER]),
    ({"PatientID": "P?2*"}, [OTHER, STUDY]),
    ({"PatientID": "%"}, []),
    ({"PatientID": "%*"}, []),
    ({"PatientID": "\\*"}, []),
    ({"StudyDescription": "100% *"}, [OTHER]),
    ({"StudyDescription": "ct of*"}, []),
    ({"StudyDate": "20260115"}, [STUDY]),
    ({"StudyDate": "20260115-20260301"}, [OTHER, STUDY]),
    ({"StudyDate": "20260116-"}, [OTHER]),
    ({"StudyDate": "-20260115"}, [STUDY]),
    ({"StudyTime": "10"}, [STUDY, THIRD]),
    ({"StudyTime": "0900-0930"}, [OTHER]),
    ({"StudyTime": "0900-"}, [OTHER, STUDY, THIRD]),
    ({"StudyTime": "101500.000001-"}, []),
    ({"PatientBirthDate": "19800101-19801231"}, [OTHER, STUDY]),
    ({"PatientBirthDate": "-19791231"}, [THIRD]),
    ({"PatientBirthDate": "-07991231"}, []),
    ({"PatientBirthDate": "08000101"}, [THIRD]),
    ({"PatientBirthDate": "07991231-09991231"}, [THIRD]),
    ({"ModalitiesInStudy": "SR"}, [STUDY]),
    ({"ModalitiesInStudy": "SR,MR"}, [OTHER, STUDY]),
    ({"00080061": "US"}, []),
    ({"ModalitiesInStudy": "S*"}, [STUDY]),
    ({"ModalitiesInStudy": "?R,US"}, [OTHER, STUDY]),
    ({"ModalitiesInStudy": "%"}, []),
    ({"ModalitiesInStudy": "*"}, [OTHER, STUDY, THIRD]),
    ({"PatientSex": "?"}, [OTHER, STUDY, THIRD]),
    ({"AccessionNumber": "ACC-2"}, [OTHER]),
    ({"ReferringPhysicianName": "bello*"}, [OTHER]),
    ({"StudyInstanceUID": f"{STUDY},{THIRD}"}, [STUDY, THIRD]),
    ({"0020000d": f"{STUDY}\\{THIRD}"}, [STUDY, THIRD]),
    ({"NumberOfStudyRelatedInstances": "3"}, [STUDY]),
    ({"PatientName": "*o*", "StudyDate": "20260301"}, [OTHER]),
    ({"limit": "1"}, [OTHER]),
    ({"limit": "2", "offset": "1"}, [STUDY, THIRD]),
    ({"offset": "3"}, []),
    ({"limit": "0"}, []),
    ({"includefield": "all", "fuzzymatching": "false", "PatientID": "P3"}, [THIRD]),
]


def test_studies_match_as_the_standard_says(stocked: Clinic) -> None:
    for query, expected in MATCHES:
        assert uids(found(stocked.technician, "/studies", **query)) == expected, query


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/studies", {"Favourite": "x"}, "Favourite"),
    ("/studies", {"00100011": "x"}, "00100011"),
    ("/studies", {"Modality": "CT"}, "Modality"),
    ("/series", {"SOPInstanceUID": "1.2"}, "SOPInstanceUID"),
    ("/studies", {"StudyDate": "2026-01-15"}, "StudyDate"),
    ("/studies", {"StudyDate": "20261315"}, "StudyDate"),
    ("/studies", {"StudyDate": "-"}, "StudyDate"),
    ("/studies", {"StudyTime": "noon"}, "StudyTime"),
    ("/studies", {"StudyInstanceUID": "1.2.*"}, "StudyInstanceUID"),
    ("/studies", {"StudyInstanceUID": "1.02"}, "StudyInstanceUID"),
    ("/studies", {"limit": "-1"}, "limit"),
    ("/studies", {"limit": "ten"}, "limit"),
    ("/studies", {"offset": "99999999999"}, "offset"),
    ("/studies", {"fuzzymatching": "maybe"}, "fuzzymatching"),
    ("/series", {"SeriesNumber": "one"}, "SeriesNumber"),
    ("/studies", {"PatientID": ["a", "b"]}, "PatientID"),
    ("/studies", {"limit": ["1", "2"]}, "limit"),
]


def test_what_is_not_understood_is_refused_by_its_name(clinic: Clinic) -> None:
    for path, query, named in REFUSED:
        answer = clinic.technician.get(f"/dicom-web{path}", params=query)
        assert answer.status_code == 400, query
        assert named in answer.json()["error"]


def test_a_page_that_leaves_matches_out_says_so(stocked: Clinic) -> None:
    cut = stocked.technician.get("/dicom-web/studies", params={"limit": 2})
    assert cut.headers["warning"].startswith("299 http://127.0.0.1:8000/dicom-web ")
    whole = stocked.technician.get("/dicom-web/studies", params={"limit": 3})
    assert "warning" not in whole.headers
    fuzzy = stocked.technician.get("/dicom-web/studies", params={"fuzzymatching": "true"})
    assert "fuzzymatching" in fuzzy.headers["warning"]


def test_series_and_instances_are_found_below_their_study_and_by_themselves(stocked: Clinic) -> None:
    technician = stocked.technician
    below = found(technician, f"/studies/{STUDY}/series")
    assert uids(below, "0020000E") == [SERIES, f"{STUDY}.9"]
    assert below[1] == {
        "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080060": {"vr": "CS", "Value": ["SR"]},
        "0008103E": {"vr": "LO", "Value": ["Dose"]},
        "00081190": {
            "vr": "UR",
            "Value": [f"http://127.0.0.1:8000/dicom-web/studies/{STUDY}/series/{STUDY}.9"],
        },
        "00180015": {"vr": "CS", "Value": ["CHEST"]},
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [f"{STUDY}.9"]},
        "00200011": {"vr": "IS", "Value": [2]},
        "00201209": {"vr": "IS", "Value": [1]},
    }
    assert uids(found(technician, "/series", Modality="MR")) == [OTHER]
    assert uids(found(technician, "/series", Modality="M*,S?")) == [OTHER, STUDY]
    everywhere = found(technician, "/series", PatientID="P3")
    assert everywhere[0]["00100010"]["Value"] == [{"Alphabetic": "山田^太郎"}]
    with_name = found(technician, f"/studies/{THIRD}/series", includefield="PatientName")
    assert with_name[0]["00100010"]["Value"] == [{"Alphabetic": "山田^太郎"}]
    assert uids(found(technician, f"/studies/{STUDY}/instances"), "00080018") == [
        *(f"{SERIES}.{number}" for number in (1, 2)),
        f"{STUDY}.9.3",
    ]
    one = found(technician, f"/studies/{STUDY}/series/{SERIES}/instances", InstanceNumber=2)
    assert uids(one, "00080018") == [f"{SERIES}.2"]
    assert {"00080016", "00083002", "00200013", "00280010", "00280011", "00280100"} <= set(one[0])
    assert "00281050" not in one[0]
    more = found(technician, "/instances", SOPInstanceUID=f"{SERIES}.2", includefield="WindowCenter,00100010,00189999")
    assert more[0]["00281050"] == {"vr": "DS", "Value": [40]}
    everything = found(technician, "/instances", SOPInstanceUID=f"{SERIES}.2", includefield="all")
    assert {"00281050", "00280030", "00200032"} <= set(everything[0])


def test_nothing_found_is_an_empty_list_and_no_such_study_is_not_found(stocked: Clinic) -> None:
    assert found(stocked.technician, "/studies", PatientID="nobody") == []
    assert found(stocked.technician, f"/studies/{STUDY}/series", Modality="US") == []
    for path in ("/studies/1.2.3/series", "/studies/1.2.3/instances", f"/studies/{STUDY}/series/1.2.3/instances"):
        assert stocked.technician.get(f"/dicom-web{path}").status_code == 404


def test_a_doctor_finds_studies_of_orders_alone(clinic: Clinic) -> None:
    clinic.order(clinic.patient(), accession_number="A1")
    clinic.stow(ct(AccessionNumber="A1"), ct(1, study_uid=OTHER, series_uid=f"{OTHER}.1", PatientID="P9"))
    assert uids(found(clinic.doctor, "/studies")) == [STUDY]
    assert uids(found(clinic.doctor, "/instances")) == [STUDY]
    assert clinic.doctor.get(f"/dicom-web/studies/{OTHER}/series").status_code == 404
    assert len(found(clinic.technician, "/studies")) == 2


def test_nobody_else_finds_anything(clinic: Clinic, make_clinic: Callable[[str], Clinic]) -> None:
    clinic.stow(ct())
    south = make_clinic("south")
    assert found(south.technician, "/studies") == []
    assert south.technician.get(f"/dicom-web/studies/{STUDY}/series").status_code == 404
    assert clinic.person("technician").get("/dicom-web/studies").status_code == 403
    assert TestClient(clinic.technician.app).get("/dicom-web/studies").status_code == 401


def test_who_looked_is_written_once_for_a_while(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    clinic.order(patient_id, accession_number="A1")
    clinic.stow(ct(AccessionNumber="A1"), ct(1, study_uid=OTHER, series_uid=f"{OTHER}.1", PatientID="P9"))
    for _ in range(3):
        found(clinic.technician, "/studies")
    [read] = audited(clinic.tenant_id, "patient.read")
    assert read.resource_id == str(patient_id)
    assert len(audited(clinic.tenant_id, "study.read")) == 1
    found(clinic.doctor, "/studies")
    assert len(audited(clinic.tenant_id, "patient.read")) == 2


NAMES = st.one_of(
    st.sampled_from([name for key in KEYS for name in (key.keyword, key.tag)]),
    st.sampled_from(["limit", "offset", "includefield", "fuzzymatching", "accept", "charset"]),
    st.text(max_size=12),
)
VALUES = st.one_of(
    st.text(max_size=20),
    st.text("0123456789-.*?\\,%_ ", max_size=20),
    st.integers().map(str),
    st.dates().map(lambda day: f"{day:%Y%m%d}"),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/studies", "/series", "/instances", f"/studies/{STUDY}/series"]),
    query=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    accept=st.one_of(st.just("*/*"), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)),
)
def test_no_query_is_a_mistake_of_ours(stocked: Clinic, path: str, query: list[tuple[str, str]], accept: str) -> None:
    answer = stocked.technician.get(f"/dicom-web{path}", params=query, headers={"Accept": accept})
    assert answer.status_code in (200, 400, 406), answer.text
