"""A suite run over a batch: which rows failed in what, and what is kept of it for each tenant's Data Docs.

The same for every area. Imports Great Expectations only when something is validated: it takes seconds.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from models.kernel.clock import utc_now
from models.upkeep.quality import Validation

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]
TENANT = "tenant_id"
MOST_IDS = 1000
"""Rows named of one expectation; the count beside them is of all."""
WHOLE = ""
"""The column of an expectation that is about the batch and not about rows."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a suite found. `failures`: row id -> columns it failed in; `validations`: tenant id -> what is to be kept.

    `whole` are the tenants whose part failed an expectation about the batch as a whole.
    """

    failures: Mapping[int, Sequence[str]]
    validations: Mapping[int, Validation]
    whole: frozenset[int]


def validate(build: Callable[[], Any], rows: Sequence[Mapping[str, Any]], *, ids: Sequence[str]) -> Verdict:
    """Look at `rows` once, whosever they are, and cut what was found by tenant; ValueError when it cannot be judged.

    Every row has `tenant_id` and the columns `ids`, whole numbers, the first of them unique in the batch. Only they
    leave this function; whatever else a row holds stays in it.
    """
    import pandas as pd

    return validate_frame(build, pd.DataFrame(list(rows)), ids=ids)


def validate_frame(build: Callable[[], Any], frame: "pd.DataFrame", *, ids: Sequence[str]) -> Verdict:
    """The same of rows that are a frame already, which for 100,000 of them takes a tenth of the memory."""
    batch = _Batch(frame, ids)
    if len(batch.named) != len(frame):
        raise ValueError(f"{ids[0]} is not unique in the batch")
    definition, suite = _prepared(build)
    report = definition.get_batch({"dataframe": batch.frame}).validate(
        suite,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": [ids[0]],
            "exclude_unexpected_values": True,
        },
    )
    return _verdict([_Part(found, batch) for found in report.results], batch, suite.name, report.meta)


@lru_cache(maxsize=8)
def _prepared(build: Callable[[], Any]) -> tuple[Any, Any]:
    """The suite and where frames are put in; made once per process."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    suite = build()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas(suite.name).add_dataframe_asset("batch")
    return asset.add_batch_definition_whole_dataframe("all"), context.suites.add(suite)


class _Batch:
    """The rows, whose they are, and the ids that name each."""

    def __init__(self, frame: "pd.DataFrame", ids: Sequence[str]) -> None:
        self.frame, self.ids = frame, list(ids)
        tenants = frame[TENANT].tolist()
        self.sizes: Counter[int] = Counter(tenants)
        names = zip(*(frame[name].tolist() for name in ids), strict=True)
        self.named = {name[0]: (tenant_id, name) for tenant_id, name in zip(tenants, names, strict=True)}


def _verdict(parts: Sequence["_Part"], batch: _Batch, suite: str, meta: Mapping[str, Any]) -> Verdict:
    failures: dict[int, list[str]] = {}
    validations: dict[int, Validation] = {}
    whole: set[int] = set()
    now = utc_now()
    for tenant_id, number in batch.sizes.items():
        results, failed = [], set()
        for part in parts:
            result = part.of(tenant_id)
            results.append(result)
            if result["success"]:
                continue
            if not part.is_about_rows:
                whole.add(tenant_id)
            for row_id in part.failed.get(tenant_id, ()):
                failures.setdefault(row_id, []).append(part.column)
                failed.add(row_id)
        kept = _kept(suite, meta["great_expectations_version"], results)
        validations[tenant_id] = Validation(suite, now, number, len(failed), kept)
    return Verdict(failures, validations, frozenset(whole))


def _kept(suite: str, version: str, results: Sequence[Json]) -> Json:
    """In Great Expectations' form, but for what could hold values: its fingerprint of the batch is one of these."""
    met = sum(one["success"] for one in results)
    return {
        "success": met == len(results),
        "suite_name": suite,
        "statistics": {
            "evaluated_expectations": len(results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(results) - met,
        },
        "meta": {"great_expectations_version": version},
        "results": list(results),
    }


class _Part:
    """What was found about one expectation, in a batch with rows of several tenants."""

    def __init__(self, found: Any, batch: _Batch) -> None:
        self._batch = batch
        config: Json = found.expectation_config.to_json_dict()
        self._settings: Json = {name: value for name, value in config["kwargs"].items() if name != "batch_id"}
        self._config: Json = {"type": config["type"], "kwargs": self._settings}
        self._config |= {name: config[name] for name in ("description", "severity") if config.get(name)}
        self._is_met = bool(found.success)
        self.column: str = self._settings.get("column") or self._settings.get("column_A") or WHOLE
        self.is_about_rows = "unexpected_index_list" in found.result
        self._refuse(found)
        self.failed: dict[int, list[int]] = {}
        for group in found.result.get("unexpected_index_list") or ():
            for row_id in group[batch.ids[0]]:
                self.failed.setdefault(batch.named[int(row_id)][0], []).append(int(row_id))
        self._missing = self._count_missing(found.result["missing_count"]) if "missing_count" in found.result else None

    def _refuse(self, found: Any) -> None:
        """ValueError for what has no verdict, and for one that cannot be cut by tenant."""
        is_broken = found.exception_info.get("raised_exception") is not False
        if is_broken or (not self.is_about_rows and self.column != WHOLE):
            raise ValueError(f"the batch could not be judged row by row: {self._config['type']}")
        if not self.is_about_rows and len(self._batch.sizes) > 1:
            raise ValueError(f"this is known of the rows of all tenants together only: {self._config['type']}")

    def _count_missing(self, total: int) -> Counter[int]:
        """Rows that were not looked at, by tenant, as Great Expectations counts them."""
        frame = self._batch.frame
        empty = frame[[self.column, self._settings.get("column_B", self.column)]].isna()
        which = self._settings.get("ignore_row_if", "both_values_are_missing")
        if which == "neither":
            missing = Counter[int]()
        else:
            skipped = empty.all(axis=1) if which == "both_values_are_missing" else empty.any(axis=1)
            missing = Counter(int(tenant_id) for tenant_id in frame[TENANT][skipped])
        if missing.total() != total:
            raise ValueError(f"the rows not looked at are counted otherwise here: {self._config['type']}")
        return missing

    def of(self, tenant_id: int) -> Json:
        """What was found in the rows of one tenant."""
        kept = {"success": self._is_met, "expectation_config": self._config, "result": {}}
        if not self.is_about_rows:
            return kept
        batch, failed = self._batch, self.failed.get(tenant_id, [])
        looked_at = number = batch.sizes[tenant_id]
        result: Json = {"element_count": number, "unexpected_count": len(failed)}
        if self._missing is not None:
            result["missing_count"] = self._missing[tenant_id]
            looked_at -= self._missing[tenant_id]
        named = [batch.named[row_id][1] for row_id in failed[:MOST_IDS]]
        result["unexpected_index_column_names"] = batch.ids
        result["unexpected_index_list"] = (
            [{name: [row[place] for row in named] for place, name in enumerate(batch.ids)}] if named else []
        )
        is_met = looked_at == 0 or (looked_at - len(failed)) / looked_at >= self._settings.get("mostly", 1)
        return kept | {"success": is_met, "result": result}
