"""The batch rules by themselves: what the suite says of files as their parser found them, the rare cases among them."""

from collections import Counter
from typing import Any

import pytest

from tasks.imaging.gate import Judged, Looked, judge
from tests.imaging.dicoms import SERIES, STUDY

pytestmark = pytest.mark.unit
TENANT = 7


def looked(number: int, **more: Any) -> Looked:
    """A CT image of one series."""
    said: dict[str, Any] = {"modality": "CT", "instance_number": number, "patient_code": "P123"}
    uids = {"study_uid": STUDY, "series_uid": SERIES, "image_uid": f"{SERIES}.{number}"}
    return Looked(number, **(said | uids | more))


def judged(*files: Looked, has_order: bool = False) -> Judged:
    return judge(TENANT, 1, files, has_order=has_order)


def unmet(found: Judged) -> dict[str, tuple[str, list[int]]]:
    """What is kept of expectations that were not met: their severity and the files' numbers, by column."""
    return {
        result["expectation_config"]["kwargs"]["column"]: (
            result["expectation_config"]["severity"],
            result["result"]["unexpected_index_list"][0]["file"],
        )
        for result in found.validation.result["results"]
        if not result["success"]
    }


def test_of_a_study_that_is_as_it_should_be_nothing_is_said() -> None:
    found = judged(looked(1), looked(2), Looked(3, is_picture=True))
    assert (found.rule, found.held, found.told, unmet(found)) == ("", {}, Counter(), {})


@pytest.mark.parametrize("field", ["study_uid", "series_uid", "image_uid"])
@pytest.mark.parametrize("uid", ["1.02", "", "1..2", "1.2.", "1.2 ", f"1.{'2' * 63}", "1.2\n"])
def test_a_file_whose_uids_are_none_is_held_and_the_others_are_not(field: str, uid: str) -> None:
    """No parser of ours lets one through: the rule stands for the day one does."""
    found = judged(looked(1), looked(2, **{field: uid}), looked(3))
    assert (found.rule, found.held) == ("", {2: "uids"})
    assert unmet(found)["uids_valid"] == ("critical", [2])


def test_a_file_that_cannot_be_read_is_held_with_what_its_parser_said() -> None:
    found = judged(looked(1), Looked(3, rule="length"), looked(2))
    assert (found.rule, found.held, unmet(found)) == ("", {3: "length"}, {"readable": ("critical", [3])})


def test_of_a_source_with_more_bad_files_than_good_ones_nothing_is_taken() -> None:
    half = judged(looked(1), Looked(2, rule="length"))
    assert (half.rule, half.held) == ("", {2: "length"})
    most = judged(looked(1), Looked(2, rule="length"), Looked(3, rule="not_an_image"))
    assert most.rule == "most_files_cannot_be_read"


def test_a_modality_that_dicom_does_not_define_is_a_warning() -> None:
    found = judged(looked(1), looked(2, modality="ZZ"), looked(3, modality=""))
    assert (found.rule, found.held, found.told) == ("", {}, Counter({"modality unknown": 2}))
    assert unmet(found) == {"modality_known": ("warning", [2, 3])}


@pytest.mark.parametrize(
    "files",
    [
        (looked(1), looked(2), looked(4)),
        (looked(1, images_in_series=4), looked(2), looked(3)),
        (looked(1, instance_number=None, images_in_series=4), looked(2, instance_number=None), looked(3)),
    ],
    ids=["a number is left out", "fewer than the files say", "without numbers"],
)
def test_a_series_with_gaps_is_a_warning_at_each_of_its_files(files: tuple[Looked, ...]) -> None:
    other = looked(9, series_uid=f"{SERIES}.9", image_uid=f"{SERIES}.9.1")
    found = judged(*files, other)
    assert (found.rule, found.held, found.told) == ("", {}, Counter({"series with gaps": 3}))
    assert unmet(found) == {"missing_in_series": ("warning", [each.number for each in files])}


def test_a_study_of_several_patients_is_kept_out_as_a_whole() -> None:
    found = judged(looked(1), looked(2, patient_code="P9"))
    assert (found.rule, found.held) == ("several_patients_in_a_study", {})
    assert unmet(found) == {"patients_in_study": ("critical", [1, 2])}
    other = {"study_uid": f"{STUDY}.2", "series_uid": f"{STUDY}.2.1", "image_uid": f"{STUDY}.2.1.1"}
    assert judged(looked(1), looked(2, patient_code="P9", instance_number=1, **other)).rule == ""


def test_an_order_has_one_study() -> None:
    other = {"study_uid": f"{STUDY}.2", "series_uid": f"{STUDY}.2.1", "image_uid": f"{STUDY}.2.1.1"}
    assert judged(looked(1), looked(2, **other)).rule == ""
    assert judged(looked(1), looked(2, **other), has_order=True).rule == "several_studies_of_an_order"
    both = [looked(1, accession_number="A1"), looked(2, accession_number="A1", **other)]
    assert judged(*both).rule == "several_studies_of_an_order"


def test_what_is_there_twice_is_told_of_and_keeps_nothing_out() -> None:
    again = judged(looked(1), looked(2), looked(3, image_uid=f"{SERIES}.2", instance_number=2))
    assert (again.rule, again.held) == ("", {})
    assert again.told == Counter({"numbered twice": 3, "there twice": 1})
    assert unmet(again) == {"same_number_in_series": ("info", [1, 2, 3]), "earlier_copies": ("info", [3])}
