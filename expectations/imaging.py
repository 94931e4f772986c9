"""The expectations on a dropped study; one row per file.

Descriptions are what staff read on the page of a check.
"""

from great_expectations import ExpectationSuite
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.metadata_types import FailureSeverity

MOST_BAD_PERCENT = 50
"""Of a source with more unreadable files than this nothing is believed."""


def build_suite() -> ExpectationSuite:
    """Readable, UIDs valid, one patient per study, one study per order; modality known, series complete, each once."""
    return ExpectationSuite(
        name="dropped-studies",
        expectations=[
            ExpectColumnValuesToBeInSet(
                column="readable", value_set=[1], description="The file is a DICOM, JPEG or PNG file that can be read"
            ),
            ExpectColumnValuesToBeInSet(
                column="uids_valid", value_set=[1], description="Study, series and image have valid UIDs"
            ),
            ExpectColumnValuesToBeBetween(
                column="patients_in_study", max_value=1, description="All files of a study name the same patient"
            ),
            ExpectColumnValuesToBeBetween(
                column="studies_of_order", max_value=1, description="The order has one study"
            ),
            ExpectColumnValuesToBeBetween(
                column="bad_percent_of_source",
                max_value=MOST_BAD_PERCENT,
                description="Most files of what was dropped can be read",
            ),
            ExpectColumnValuesToBeInSet(
                column="modality_known",
                value_set=[1],
                severity=FailureSeverity.WARNING,
                description="The modality is one that DICOM defines",
            ),
            ExpectColumnValuesToBeBetween(
                column="missing_in_series",
                max_value=0,
                severity=FailureSeverity.WARNING,
                description="The series is complete: no number is left out, and it has the images its files tell of",
            ),
            ExpectColumnValuesToBeBetween(
                column="same_number_in_series",
                max_value=0,
                severity=FailureSeverity.INFO,
                description="Each instance number is there once in its series",
            ),
            ExpectColumnValuesToBeBetween(
                column="earlier_copies",
                max_value=0,
                severity=FailureSeverity.INFO,
                description="The image is there once",
            ),
        ],
    )
