"""Data Docs in the JSON API."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.upkeep import quality_view
from models.kernel.fields import Id, Line
from models.upkeep.quality import CheckFilter, count_checks, get_check, list_checks

router = APIRouter()
Reader = Annotated[Caller, Depends(may(*quality_view.ROLES))]


class QualityCheckAnswer(BaseModel):
    """One validation of a batch by a suite of expectations."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    suite: str = Field(description="Such as `instrument-results`")
    validated_at: datetime
    flow: str
    flow_run_id: str = Field(description="The run in Prefect; `no-run` where there was none")
    is_met: bool = Field(description="Whether every expectation was met")
    rows: int
    failed_rows: int = Field(description="Rows that did not meet at least one expectation")
    expectations: int
    failed_expectations: int
    batch: str | None = Field(
        description="Which rows, where they can be looked at again, such as a day: `2026-11-20`; there is one of each"
    )


class QualityCheckPage(BaseModel):
    """Quality checks, the newest first."""

    items: list[QualityCheckAnswer]
    total: int
    page: int
    size: int


class ExpectationAnswer(BaseModel):
    """One expectation and what was found. Ids of rows, never their values."""

    model_config = ConfigDict(from_attributes=True)

    kind: str = Field(description="As Great Expectations calls it: `expect_column_values_to_not_be_null`")
    description: str
    settings: dict[str, Any] = Field(description="The column or columns it is about, and its limits")
    is_met: bool
    rows: int = Field(description="Rows it looked at: those with a value, where it is about values")
    failed_rows: int
    failed: list[dict[str, int]] = Field(description="The ids of failed rows, at most 1,000 of them")


class QualityCheckDetail(QualityCheckAnswer):
    """One quality check with each expectation, what was not met first."""

    details: list[ExpectationAnswer]


@router.get("/quality-checks")
def list_quality_checks(
    caller: Reader,
    suite: Annotated[Line, Query()] = "",
    is_met: Annotated[bool | None, Query(description="Only those that met everything, or only the others")] = None,
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
    size: Annotated[int, Query(ge=1, le=100)] = 50,
) -> QualityCheckPage:
    """What every validation of a batch found, the newest first; history is bounded."""
    with tenant_work(caller) as session:
        wanted = CheckFilter(suite, is_met)
        rows = list_checks(session, caller.tenant_id, wanted, limit=size, offset=(page - 1) * size)
        counts = count_checks(session, caller.tenant_id, suite)
    total = {True: counts.met, False: counts.not_met, None: counts.met + counts.not_met}[is_met]
    items = [QualityCheckAnswer.model_validate(row) for row in rows]
    return QualityCheckPage(items=items, total=total, page=page, size=size)


@router.get("/quality-checks/{check_id}", responses=errors(404))
def get_quality_check(check_id: Id, caller: Reader) -> QualityCheckDetail:
    """One validation, expectation by expectation."""
    with tenant_work(caller) as session:
        check, result = get_check(session, caller.tenant_id, check_id)
    summary = QualityCheckAnswer.model_validate(check).model_dump()
    details = [ExpectationAnswer.model_validate(one) for one in quality_view.expectations(result)]
    return QualityCheckDetail(**summary, details=details)
