"""The expectations on a day of readings; one row per device, a figure that cannot be judged is empty.

Descriptions are what staff read on the page of a check. Limits and their reasons are in models/vitals/day_limits.py.
"""

from great_expectations import ExpectationSuite
from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween

from models.vitals.day_rules import RULES


def build_suite() -> ExpectationSuite:
    """No gap, stuck sensor or drift, battery and signal good, few readings held."""
    return ExpectationSuite(
        name="vitals-day",
        expectations=[
            ExpectColumnValuesToBeBetween(
                column=rule.column,
                min_value=rule.lowest,
                strict_min=rule.lowest is not None,
                max_value=rule.highest,
                description=rule.description,
            )
            for rule in RULES
        ],
    )
