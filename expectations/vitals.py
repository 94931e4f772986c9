"""The expectations on the readings of the files of one run; one row per reading.

Descriptions are what staff read on the page of a check.
"""

from great_expectations import ExpectationSuite
from great_expectations.expectations.core.expect_column_pair_values_a_to_be_greater_than_b import (
    ExpectColumnPairValuesAToBeGreaterThanB,
)
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.metadata_types import FailureSeverity

from models.vitals.measures import MEASURES

AHEAD_SECONDS = 300
"""How far a device's clock may be ahead of ours (models.vitals.rules.CLOCK_TOLERANCE)."""
MOST_BAD_PERCENT = 50
"""Of a file with more bad readings than this nothing is believed."""


def build_suite() -> ExpectationSuite:
    """Known device, readable, plausible, systolic over diastolic, in the order of time, once, most of its file good."""
    return ExpectationSuite(
        name="vitals-files",
        expectations=[
            ExpectColumnValuesToBeInSet(
                column="device_known", value_set=[1], description="The device is known and active"
            ),
            ExpectColumnValuesToBeInSet(
                column="readable", value_set=[1], description="The reading has its fields, in their types and units"
            ),
            *(
                ExpectColumnValuesToBeBetween(
                    column=measure.name,
                    min_value=float(measure.lowest),
                    max_value=float(measure.highest),
                    description=f"{measure.label}: a living person can have it ({measure.canonical})",
                )
                for measure in MEASURES
            ),
            ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="blood_pressure_systolic",
                column_B="blood_pressure_diastolic",
                ignore_row_if="either_value_is_missing",
                description="Systolic pressure is over diastolic",
            ),
            ExpectColumnValuesToBeBetween(
                column="seconds_ahead", max_value=AHEAD_SECONDS, description="It was not taken in the future"
            ),
            ExpectColumnValuesToBeBetween(
                column="seconds_after_previous",
                min_value=0,
                severity=FailureSeverity.INFO,
                description="In its file the readings of a device are in the order of time",
            ),
            ExpectColumnValuesToBeBetween(
                column="earlier_copies",
                max_value=0,
                severity=FailureSeverity.INFO,
                description="The reading is there once",
            ),
            ExpectColumnValuesToBeBetween(
                column="bad_percent_of_file",
                max_value=MOST_BAD_PERCENT,
                description="Most readings of its file can be stored",
            ),
        ],
    )
