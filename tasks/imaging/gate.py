"""The batch rules: the files of a dropped source as one frame, looked at once by the Great Expectations suite."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.imaging.ports import Instance, Picture
from models.imaging.terms import MODALITIES
from models.imaging.uids import is_uid
from models.upkeep.quality import Validation
from tasks.quality import validate

WHOLE = {
    "patients_in_study": "several_patients_in_a_study",
    "studies_of_order": "several_studies_of_an_order",
    "bad_percent_of_source": "most_files_cannot_be_read",
}
"""Columns whose failure keeps all of a source out -> the rule's name."""
HOLDS = {"readable": "unreadable", "uids_valid": "uids"}
"""Columns whose failure keeps one file out; its parser named the rule first where it could not be read."""
TOLD = {
    "modality_known": "modality unknown",
    "missing_in_series": "series with gaps",
    "same_number_in_series": "numbered twice",
    "earlier_copies": "there twice",
}
"""Columns whose failure is told of and keeps nothing out."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What the suite looks at of a file. `rule` says why it cannot be read; empty: it can."""

    number: int
    rule: str = ""
    is_picture: bool = False
    study_uid: str = ""
    series_uid: str = ""
    image_uid: str = ""
    patient_code: str = ""
    accession_number: str = ""
    modality: str = ""
    instance_number: int | None = None
    images_in_series: int | None = None
    """As the file says, where it does (0020,1209)."""

    @classmethod
    def at(cls, number: int, found: Instance | Picture) -> "Looked":
        """Of what its parser found."""
        if isinstance(found, Picture):
            return cls(number, is_picture=True)
        said = found.tags.get("NumberOfSeriesRelatedInstances")
        return cls(
            number,
            study_uid=found.study_uid,
            series_uid=found.series_uid,
            image_uid=found.image_uid,
            patient_code=found.patient_code,
            accession_number=found.accession_number,
            modality=found.modality,
            instance_number=found.instance_number,
            images_in_series=said if isinstance(said, int) else None,
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """`rule` keeps all out; `held` are files' rules by number, `told` what was noticed, by number of files."""

    rule: str
    held: Mapping[int, str]
    told: Counter[str]
    validation: Validation


def judge(tenant_id: int, source: int, files: Sequence[Looked], *, has_order: bool) -> Judged:
    """What the suite says of one source with at least one file. Whatever goes wrong here is raised."""
    from expectations.imaging import build_suite  # imported here: it takes seconds

    verdict = validate(build_suite, _rows(tenant_id, source, files, has_order=has_order), ids=("file", "source"))
    if verdict.whole:
        raise ValueError("the suite has an expectation about a batch, and nothing here to hold by it")
    by_number = {each.number: each for each in files}
    whole, held, told = Counter[str](), dict[int, str](), Counter[str]()
    for number, failed in verdict.failures.items():
        whole.update(column for column in failed if column in WHOLE)
        told.update(TOLD[column] for column in failed if column in TOLD)
        for column in failed:
            if column in HOLDS:
                held.setdefault(number, by_number[number].rule or HOLDS[column])
    rule = next((WHOLE[column] for column in WHOLE if whole[column]), "")
    return Judged(rule, held, told, verdict.validations[tenant_id])


def _rows(tenant_id: int, source: int, files: Sequence[Looked], *, has_order: bool) -> list[dict[str, Any]]:
    read = [each for each in files if not each.rule and not each.is_picture]
    patients, studies = defaultdict(set), defaultdict(set)
    series: dict[str, list[Looked]] = defaultdict(list)
    for each in read:
        patients[each.study_uid].add(each.patient_code)
        studies[_order(each, has_order=has_order)].add(each.study_uid)
        series[each.series_uid].append(each)
    missing = {uid: _missing(of) for uid, of in series.items()}
    doubled = {uid: len(_numbers(of)) - len(set(_numbers(of))) for uid, of in series.items()}
    bad = 100 * sum(bool(each.rule) for each in files) / len(files)
    copies: Counter[str] = Counter()
    rows = []
    for each in files:
        row: dict[str, Any] = {
            "tenant_id": tenant_id,
            "source": source,
            "file": each.number,
            "readable": int(not each.rule),
            "bad_percent_of_source": bad,
            **dict.fromkeys(COLUMNS),
        }
        if not each.rule and not each.is_picture:
            order = _order(each, has_order=has_order)
            row |= {
                "uids_valid": int(all(map(is_uid, (each.study_uid, each.series_uid, each.image_uid)))),
                "patients_in_study": len(patients[each.study_uid]),
                "studies_of_order": len(studies[order]) if order else None,
                "modality_known": int(each.modality in MODALITIES),
                "missing_in_series": missing.get(each.series_uid),
                "same_number_in_series": doubled.get(each.series_uid),
                "earlier_copies": copies[each.image_uid],
            }
            copies[each.image_uid] += 1
        rows.append(row)
    return rows


COLUMNS = (
    *("uids_valid", "patients_in_study", "studies_of_order", "modality_known", "missing_in_series"),
    *("same_number_in_series", "earlier_copies"),
)


def _numbers(series: Sequence[Looked]) -> list[int]:
    return [each.instance_number for each in series if each.instance_number is not None]


def _missing(series: Sequence[Looked]) -> int:
    """Images between the lowest and the highest number that are not there, or how many fewer than the files say."""
    numbers = _numbers(series)
    gaps = max(numbers) - min(numbers) + 1 - len(set(numbers)) if numbers else 0
    said = max((each.images_in_series or 0 for each in series), default=0)
    return max(gaps, said - len({each.image_uid for each in series}))


def _order(each: Looked, *, has_order: bool) -> str:
    """What stands for the file's order within its source; empty where it names none."""
    return "named" if has_order else f"{each.patient_code}/{each.accession_number}" if each.accession_number else ""
