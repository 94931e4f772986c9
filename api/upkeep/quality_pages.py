"""Data Docs: the pages of the quality checks."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from api.deps import Caller, page, tenant_work
from api.render import render
from api.upkeep import quality_view
from models.kernel.fields import Id, Line
from models.kernel.settings import settings
from models.upkeep.quality import CheckFilter, count_checks, get_check, list_checks, list_suites

router = APIRouter()
Reader = Annotated[Caller, Depends(page(*quality_view.ROLES))]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=100_000)]
Which = Literal["all", "not-met"]
PAGE_SIZE = 50


@router.get("/quality")
def show_quality(
    request: Request, caller: Reader, which: Which = "all", suite: Annotated[Line, Query()] = "", number: PageNumber = 1
) -> Response:
    """Every validation that is kept, the newest first."""
    wanted = CheckFilter(suite, False if which == "not-met" else None)
    with tenant_work(caller) as session:
        rows = list_checks(session, caller.tenant_id, wanted, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE)
        counts = count_checks(session, caller.tenant_id, suite)
        suites = list_suites(session, caller.tenant_id)
    totals = {"all": counts.met + counts.not_met, "not-met": counts.not_met}

    def address(**changed: Any) -> str:
        query = {"which": which, "suite": suite, "page": 1} | changed
        return f"/quality?{urlencode({name: value for name, value in query.items() if value not in ('', 1, 'all')})}"

    return render(
        request,
        "upkeep/quality.html",
        caller,
        rows=rows,
        counts=counts,
        tabs=[("all", "All checks", totals["all"]), ("not-met", "Not met", totals["not-met"])],
        which=which,
        suite=suite,
        suites=suites,
        view=quality_view,
        kept=settings().quality_checks_kept,
        tab_address=lambda name: address(which=name),
        total=totals[which],
        page=number,
        size=PAGE_SIZE,
        page_address=lambda wanted_page: address(page=wanted_page),
    )


@router.get("/quality/{check_id}")
def show_quality_check(request: Request, caller: Reader, check_id: Id) -> Response:
    """One validation: each expectation, whether it was met, and the rows that did not meet it."""
    with tenant_work(caller) as session:
        check, result = get_check(session, caller.tenant_id, check_id)
    return render(
        request,
        "upkeep/quality_check.html",
        caller,
        check=check,
        expectations=quality_view.expectations(result),
        version=result["meta"]["great_expectations_version"],
        view=quality_view,
    )
