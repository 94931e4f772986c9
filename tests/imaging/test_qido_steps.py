"""QIDO-RS: series by the step they were made in, as PS3.18, 10.6.1.2.3 wants of a server."""

from typing import Any

import pytest
from pydicom import Dataset

from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, ct
from tests.imaging.test_qido_answers import found, uids

pytestmark = pytest.mark.api
STEPS: list[tuple[dict[str, str], list[str]]] = [
    ({"PerformedProcedureStepStartDate": "20260301"}, ["1.2.4"]),
    ({"00400244": "20260301-"}, ["1.2.4"]),
    ({"PerformedProcedureStepStartDate": "-20260228"}, []),
    ({"PerformedProcedureStepStartTime": "09-10", "Modality": "C*"}, ["1.2.4"]),
    ({"PerformedProcedureStepStartTime": "0931"}, []),
    ({"PerformedProcedureStepStartTime": ""}, [SERIES, "1.2.4"]),
    ({"RequestAttributesSequence.RequestedProcedureID": "*"}, [SERIES, "1.2.4"]),
    ({"RequestAttributesSequence.ScheduledProcedureStepID": "S1"}, ["1.2.4"]),
    ({"RequestAttributesSequence.ScheduledProcedureStepID": "S?"}, ["1.2.4"]),
    ({"RequestAttributesSequence.ScheduledProcedureStepID": "s1"}, []),
    ({"00400275.00400009": "S2"}, ["1.2.4"]),
    ({"00400275.00401001": "R1"}, ["1.2.4"]),
    ({"00400275.00401001": "R1", "Modality": "MR"}, []),
    ({"00400275.00400009": "S2", "00400275.00401001": "R*"}, ["1.2.4"]),
    ({"00400275.00400009": "S1", "00400275.00401001": "R1"}, []),
    ({"00400275.00401001": "R%"}, []),
    ({"00400275.00401001": "S1"}, []),
    ({"00400275.00400009": "S9"}, []),
]


def request(step: str, procedure: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = step, procedure
    item.ScheduledProcedureStepDescription = "not kept"
    return item


def test_series_are_found_by_every_attribute_that_the_standard_names(clinic: Clinic) -> None:
    clinic.stow(ct(1, PerformedProcedureStepStartDate="", PerformedProcedureStepStartTime=""))
    second: dict[str, Any] = {"SeriesNumber": 2, "TimezoneOffsetFromUTC": "+0100"}
    day, time = "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"
    step: dict[str, Any] = {day: "20260301", time: "093000.5"}
    step["RequestAttributesSequence"] = [request("S1", ""), request("S2", "R1"), request("", "")]
    clinic.stow(ct(1, series_uid="1.2.4", **second, **step))
    clinic.stow(ct(2, series_uid="1.2.4", **second, RequestAttributesSequence=[request("S9", "")]))
    for query, expected in STEPS:
        rows = found(clinic.technician, "/series", **query)
        assert uids(rows, "0020000E") == expected, query
    rows = found(clinic.technician, "/series")
    assert (rows[1]["00400244"], rows[1]["00400245"]) == (
        {"vr": "DA", "Value": ["20260301"]},
        {"vr": "TM", "Value": ["093000.5"]},
    )
    assert rows[1]["00080201"] == {"vr": "SH", "Value": ["+0100"]}
    assert rows[1]["00400275"]["Value"] == [
        {"00400009": {"vr": "SH", "Value": ["S1"]}},
        {"00400009": {"vr": "SH", "Value": ["S2"]}, "00401001": {"vr": "SH", "Value": ["R1"]}},
    ]
    assert not {"00400244", "00400275"} & set(rows[0])
    refused = clinic.technician.get("/dicom-web/studies", params={"00400244": "20260301"})
    assert refused.status_code == 400
    for query in ({"PerformedProcedureStepStartDate": "soon"}, {"RequestAttributesSequence.Favourite": "x"}):
        assert clinic.technician.get("/dicom-web/series", params=query).status_code == 400
