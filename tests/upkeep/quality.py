"""Batches to validate, and what is kept of them."""

from typing import Any

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from models.upkeep.quality import Validation, record_validation
from models.upkeep.tables import QualityCheck

RUN = Actor("flow", "0b6ff5ed-4bb2-47bc-8abc-2d4b2b7fd3a1", "poll-results")
IDS = ("message_id", "assignment_id", "equipment_id")


def result_row(tenant_id: int, row_id: int, **changed: Any) -> dict[str, Any]:
    """A result as the gate hands it to the suite; all right but for what is changed."""
    pairs = {"patient": "PAT-1", "test": "HGB", "unit": "g/dL", "sample": "S-1"}
    right = {name: value for name, text in pairs.items() for name, value in ((name, text), (f"expected_{name}", text))}
    ids = {"tenant_id": tenant_id, "message_id": row_id, "assignment_id": 100 + row_id, "equipment_id": 3}
    others = {"quality_control": "Passed", "value": "13.5", "number": "13.5"}
    return ids | right | others | {"seconds_after_order": 60, "seconds_ahead": -5} | changed


def found(failed: int = 0, *, rows: int = 3, suite: str = "instrument-results") -> Validation:
    """What a suite of two expectations found; the ids of failed rows begin at 101."""
    ids = {"message_id": list(range(1, failed + 1)), "assignment_id": list(range(101, 101 + failed))}
    ids["equipment_id"] = [7] * failed
    first = {
        "success": not failed,
        "expectation_config": {
            "type": "expect_column_values_to_not_be_null",
            "kwargs": {"column": "value"},
            "description": "There is a value",
        },
        "result": {
            "element_count": rows,
            "unexpected_count": failed,
            "unexpected_index_column_names": list(ids),
            "unexpected_index_list": [ids] if failed else [],
        },
    }
    config = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "seconds_ahead", "max_value": 120}}
    result = {"element_count": rows, "unexpected_count": 0, "missing_count": 1, "unexpected_index_list": []}
    second = {"success": True, "expectation_config": config, "result": result}
    meta = {"great_expectations_version": "1.24.1"}
    content = {"success": not failed, "suite_name": suite, "meta": meta, "results": [second, first]}
    return Validation(suite, utc_now(), rows, failed, content)


def keep(tenant_id: int, *validations: Validation) -> list[int]:
    """Keep these; the ids of all that are there afterwards, in order."""
    for one in validations:
        with tenant_session(tenant_id) as session:
            record_validation(session, tenant_id, RUN, one)
    return [check.id for check in kept(tenant_id)]


def kept(tenant_id: int) -> list[QualityCheck]:
    """Every check that is kept of this tenant, in order."""
    with tenant_session(tenant_id) as session:
        return list(session.query(QualityCheck).filter_by(tenant_id=tenant_id).order_by(QualityCheck.id))
