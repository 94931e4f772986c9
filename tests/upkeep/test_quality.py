"""Data Docs: what is found in a batch, cut by tenant, kept without values, and how long."""

import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.upkeep.quality import (
    CheckFilter,
    count_checks,
    failed_before,
    get_check,
    list_checks,
    list_suites,
    record_validation,
)
from tasks import quality
from tests.conftest import Database
from tests.factories import make_tenant
from tests.upkeep.quality import IDS, RUN, found, keep, kept, result_row

WRONG: tuple[dict[str, Any], ...] = (
    {"patient": "PAT-2"},
    {"quality_control": None},
    {"quality_control": "Failed", "number": None},
    {"value": None, "number": None},
    {"number": "n/a"},
    {"seconds_ahead": 121},
    {"seconds_after_order": None, "seconds_ahead": None},
    {"test": None},
)


def mixed() -> list[dict[str, Any]]:
    """Results of three tenants in one batch, wrong in everything that can be; the last tenant's are right."""
    rows = [result_row(1 + number % 2, number, **wrong) for number, wrong in enumerate(WRONG * 2, 1)]
    return [*rows, result_row(3, 98), result_row(3, 99)]


def build_suite() -> Any:
    """The suite of the instruments; imported here, for collecting tests should not take seconds."""
    from expectations import instruments

    return instruments.build_suite()


def alone(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Great Expectations' own result for these rows by themselves, with nothing of ours in between."""
    import great_expectations as gx
    import pandas as pd

    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("alone").add_dataframe_asset("batch")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.DataFrame(rows)})
    form = {"result_format": "COMPLETE", "unexpected_index_column_names": list(IDS), "exclude_unexpected_values": True}
    report: Any = batch.validate(context.suites.add(build_suite()), result_format=form)
    return dict(report.to_json_dict())


@pytest.mark.unit
class TestCutting:
    @pytest.mark.parametrize("tenant_id", [1, 2, 3])
    def test_a_tenants_part_is_what_great_expectations_says_of_its_rows_alone(self, tenant_id: int) -> None:
        mine = quality.validate(build_suite, mixed(), ids=IDS).validations[tenant_id]
        theirs = alone([row for row in mixed() if row["tenant_id"] == tenant_id])
        assert mine.result["success"] == theirs["success"] == (tenant_id == 3)
        assert mine.result["suite_name"] == theirs["suite_name"] == mine.suite
        assert mine.result["statistics"].items() <= theirs["statistics"].items()
        assert len(mine.result["results"]) == len(theirs["results"]) == 11
        for own, its in zip(mine.result["results"], theirs["results"], strict=True):
            assert own["success"] == its["success"], own["expectation_config"]
            assert own["result"].items() <= its["result"].items(), own["expectation_config"]
            assert own["expectation_config"]["kwargs"].items() <= its["expectation_config"]["kwargs"].items()
        assert mine.failed_rows == (0 if tenant_id == 3 else 8)

    def test_rows_are_named_with_the_columns_they_failed_in(self) -> None:
        failures = quality.validate(build_suite, mixed(), ids=IDS).failures
        assert failures[1] == ["patient"]
        assert failures[4] == ["value"]
        assert failures[8] == ["test"]
        assert 98 not in failures

    def test_nothing_of_a_row_is_kept_but_its_ids(self) -> None:
        told = {name: f"secret-{name}" for name in ("patient", "test", "unit", "sample", "quality_control", "value")}
        rows = [result_row(1, 5, **told, number="secret-number", seconds_ahead=987654321)]
        verdict = quality.validate(build_suite, rows, ids=IDS)
        text = json.dumps(verdict.validations[1].result)
        assert verdict.failures[5] == [
            "patient",
            "test",
            "unit",
            "sample",
            "quality_control",
            "number",
            "seconds_ahead",
        ]
        assert "secret" not in text
        assert "987654321" not in text
        assert "fingerprint" not in text  # a digest of few rows can be guessed

    def test_many_failed_rows_are_counted_and_the_first_thousand_named(self) -> None:
        rows = [result_row(1, number, value=None) for number in range(1, 1301)]
        [part] = [
            one
            for one in quality.validate(build_suite, rows, ids=IDS).validations[1].result["results"]
            if not one["success"]
        ]
        assert part["result"]["unexpected_count"] == 1300
        assert part["result"]["unexpected_index_list"][0]["assignment_id"] == list(range(101, 1101))

    def test_a_batch_that_cannot_be_judged_is_an_error_without_its_values(self) -> None:
        rows = [{name: value for name, value in result_row(1, 1, patient="secret").items() if name != "unit"}]
        with pytest.raises(ValueError, match="could not be judged") as caught:
            quality.validate(build_suite, rows, ids=IDS)
        assert "secret" not in str(caught.value)
        with pytest.raises(ValueError, match="not unique"):
            quality.validate(build_suite, [result_row(1, 1), result_row(2, 1)], ids=IDS)

    def test_what_is_only_known_of_a_whole_batch_is_not_said_of_a_tenant(self) -> None:
        rows = [result_row(1, 1), result_row(1, 2)]
        verdict = quality.validate(three_rows, rows, ids=IDS)
        assert (verdict.whole, dict(verdict.failures)) == (frozenset({1}), {})
        assert not verdict.validations[1].result["success"]
        with pytest.raises(ValueError, match="all tenants together"):
            quality.validate(three_rows, [*rows, result_row(2, 3)], ids=IDS)

    def test_a_share_is_counted_for_each_tenant(self) -> None:
        rows = [result_row(1 + number % 2, number) for number in range(1, 9)]
        rows[0]["value"] = rows[2]["value"] = None  # half of the second tenant's rows, a quarter of all
        verdict = quality.validate(mostly_filled, rows, ids=IDS)
        assert [verdict.validations[one].result["success"] for one in (1, 2)] == [True, False]
        assert set(verdict.failures) == {1, 3}


def three_rows() -> Any:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.core.expect_table_row_count_to_be_between import ExpectTableRowCountToBeBetween

    return ExpectationSuite(name="three", expectations=[ExpectTableRowCountToBeBetween(min_value=3)])


def mostly_filled() -> Any:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

    filled = ExpectColumnValuesToNotBeNull(column="value", mostly=0.7)
    return ExpectationSuite(name="mostly", expectations=[filled])


@pytest.fixture
def north(database: Database, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("LABWIRE_QUALITY_CHECKS_KEPT", "3")
    settings.cache_clear()
    return make_tenant("north")


@pytest.mark.store
class TestKeeping:
    def test_what_was_found_is_found_again(self, north: int) -> None:
        first, second = keep(north, found(rows=5), found(2))
        with tenant_session(north) as session:
            check, result = get_check(session, north, second)
            assert (check.rows, check.failed_rows, check.expectations, check.failed_expectations) == (3, 2, 2, 1)
            assert (check.is_met, check.flow, check.flow_run_id) == (False, "poll-results", RUN.id)
            assert result["results"][1]["result"]["unexpected_count"] == 2
            assert [row.id for row in list_checks(session, north, CheckFilter())] == [second, first]
            assert [row.id for row in list_checks(session, north, CheckFilter(is_met=True))] == [first]
            assert list_checks(session, north, CheckFilter("other")) == []
            counts = count_checks(session, north)
        assert (counts.met, counts.not_met, counts.rows, counts.failed_rows) == (1, 1, 8, 2)

    def test_history_is_bounded_by_suite_and_good_days_push_no_bad_one_out(self, north: int) -> None:
        bad = keep(north, found(1))
        others = keep(north, found(suite="vitals"))[1:]
        ids = keep(north, *(found() for _ in range(9)))
        assert ids == [*bad, *others, *ids[-3:]]
        assert len(keep(north, *(found(1) for _ in range(5)))) == 3 + 1 + 3
        assert bad[0] not in [check.id for check in kept(north)]
        with tenant_session(north) as session:
            assert list_suites(session, north) == ["instrument-results", "vitals"]

    def test_another_tenants_history_is_not_touched(self, north: int) -> None:
        south = make_tenant("south")
        theirs = keep(south, *(found() for _ in range(3)))
        keep(north, *(found() for _ in range(9)))
        assert [check.id for check in kept(south)] == theirs
        assert len(kept(north)) == 3

    def test_two_runs_that_prune_at_once_do_not_wait_for_each_other(self, north: int) -> None:
        keep(north, *(found() for _ in range(3)))
        with tenant_session(north) as session:
            record_validation(session, north, RUN, found())
            other = threading.Thread(target=keep, args=(north, found()))
            other.start()
            other.join(20)
            assert not other.is_alive()
        assert len(keep(north, found())) == 3


@pytest.mark.store
def test_a_batch_with_a_name_is_kept_once_for_each_tenant_and_suite(database: Database) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    day = replace(found(), batch="2026-11-20")
    [first] = keep(north, day)
    assert keep(north, day, day) == [first], "the same again changes nothing"
    assert keep(north, replace(found(2), batch="2026-11-20")) == [first], "something else takes its place"
    assert [(check.is_met, check.failed_rows, check.batch) for check in kept(north)] == [(False, 2, "2026-11-20")]
    assert len(keep(north, replace(found(suite="vitals"), batch="2026-11-20"), found(), found())) == 4
    assert len(keep(south, day)) == 1
    with tenant_session(north) as session:
        assert failed_before(session, north, "instrument-results", "2026-11-20", "assignment_id") == {101, 102}
        assert failed_before(session, north, "instrument-results", "2026-11-21", "assignment_id") == frozenset()
