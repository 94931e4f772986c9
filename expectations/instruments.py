"""The expectations on a batch of fetched results; one row per result, beside what was ordered.

Descriptions are what staff read on the page of a check.
"""

from great_expectations import ExpectationSuite
from great_expectations.expectations.core.expect_column_pair_values_to_be_equal import ExpectColumnPairValuesToBeEqual
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_match_regex import ExpectColumnValuesToMatchRegex
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

TOLERATED_SECONDS = 120
"""How far an instrument's clock may be from ours (models.instruments.result_rules.CLOCK_TOLERANCE)."""
NUMBER = r"^(?:<=|>=|<|>)? ?[+-]?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?$"
AS_ORDERED = {
    "patient": "The patient is the one the test was ordered for",
    "test": "The test is the one that was ordered",
    "unit": "The unit is the one of the test catalogue",
    "sample": "The sample, where the instrument names it, is the one that was sent",
}


def build_suite() -> ExpectationSuite:
    """Right patient, test, unit and sample; accepted quality control; a value; a possible time."""
    return ExpectationSuite(
        name="instrument-results",
        expectations=[
            *(
                ExpectColumnPairValuesToBeEqual(
                    column_A=name, column_B=f"expected_{name}", ignore_row_if="neither", description=words
                )
                for name, words in AS_ORDERED.items()
            ),
            ExpectColumnValuesToNotBeNull(column="quality_control", description="Quality control is stated"),
            ExpectColumnValuesToBeInSet(
                column="quality_control", value_set=["Passed"], description="Quality control passed"
            ),
            ExpectColumnValuesToNotBeNull(column="value", description="There is a value"),
            ExpectColumnValuesToMatchRegex(
                column="number", regex=NUMBER, description="The value of a numeric test is a number"
            ),
            ExpectColumnValuesToNotBeNull(
                column="seconds_after_order", description="The time of completion is stated, with its zone"
            ),
            ExpectColumnValuesToBeBetween(
                column="seconds_after_order",
                min_value=-TOLERATED_SECONDS,
                description="It was not completed before it was ordered",
            ),
            ExpectColumnValuesToBeBetween(
                column="seconds_ahead",
                max_value=TOLERATED_SECONDS,
                description="It was not completed in the future",
            ),
        ],
    )
