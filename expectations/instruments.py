"""The expectations on a batch of fetched results; one row per result, beside what was ordered."""

from great_expectations import ExpectationSuite
from great_expectations.expectations.core.expect_column_pair_values_to_be_equal import ExpectColumnPairValuesToBeEqual
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
from great_expectations.expectations.core.expect_column_values_to_be_in_set import ExpectColumnValuesToBeInSet
from great_expectations.expectations.core.expect_column_values_to_match_regex import ExpectColumnValuesToMatchRegex
from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

TOLERATED_SECONDS = 120
"""How far an instrument's clock may be from ours (models.instruments.result_rules.CLOCK_TOLERANCE)."""
NUMBER = r"^(?:<=|>=|<|>)? ?[+-]?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?$"


def build_suite() -> ExpectationSuite:
    """Right patient, test, unit and sample; accepted quality control; a value; a possible time."""
    return ExpectationSuite(
        name="instrument-results",
        expectations=[
            *(
                ExpectColumnPairValuesToBeEqual(column_A=name, column_B=f"expected_{name}", ignore_row_if="neither")
                for name in ("patient", "test", "unit", "sample")
            ),
            ExpectColumnValuesToNotBeNull(column="quality_control"),
            ExpectColumnValuesToBeInSet(column="quality_control", value_set=["Passed"]),
            ExpectColumnValuesToNotBeNull(column="value"),
            ExpectColumnValuesToMatchRegex(column="number", regex=NUMBER),
            ExpectColumnValuesToNotBeNull(column="seconds_after_order"),
            ExpectColumnValuesToBeBetween(column="seconds_after_order", min_value=-TOLERATED_SECONDS),
            ExpectColumnValuesToBeBetween(column="seconds_ahead", max_value=TOLERATED_SECONDS),
        ],
    )
