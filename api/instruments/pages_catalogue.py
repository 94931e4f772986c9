"""The test catalogue: all of it to look at, and tests with their ranges to change."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.instruments.pages_kit import REFUSALS, Administrator, Looker, Refusal, complaints, show
from api.render import redirect
from models.instruments.catalogue_inputs import TestInput
from models.instruments.stores.catalogue import create_test, get_test, inputs_of, list_panels, list_tests, update_test
from models.instruments.stores.choices import load_choices
from models.kernel.fields import Id

RANGE_FIELDS = ("sex", "age_from_days", "age_to_days", "low", "high")
SPARE_RANGES = 2
"""Empty rows for new ranges at the end of the form."""
router = APIRouter(prefix="/catalogue")


@router.get("")
def catalogue(request: Request, caller: Looker) -> Response:
    """Every test and panel."""
    with tenant_work(caller) as session:
        rows = list_tests(session, caller.tenant_id)
        context = {
            "tests": inputs_of(session, caller.tenant_id, rows),
            "panels": list_panels(session, caller.tenant_id),
        }
    return show(request, "catalogue.html", caller, context=context)


@router.get("/tests/new")
def show_new_test(request: Request, caller: Administrator) -> Response:
    """The form for a new test."""
    return _test_form(request, caller, None, {"is_active": "true", "verification_levels": 1}, [])


@router.post("/tests/new")
def add_test(request: Request, caller: Administrator, form: Form) -> Response:
    """Add the test."""
    try:
        given = _test_of(form)
        with tenant_work(caller) as session:
            create_test(session, caller.tenant_id, caller.actor, given)
    except REFUSALS as error:
        return _test_form(request, caller, None, texts(form), _typed_ranges(form), error)
    return redirect(request, "/catalogue", flash="The test was added.")


@router.get("/tests/{test_id}/edit")
def show_test(request: Request, test_id: Id, caller: Administrator) -> Response:
    """The form with the test as it is."""
    with tenant_work(caller) as session:
        row = get_test(session, caller.tenant_id, test_id)
        given = inputs_of(session, caller.tenant_id, [row])[row.id]
    values = {name: getattr(given, name) for name in TestInput.model_fields if name != "ranges"}
    ranges = [{name: getattr(one, name) for name in RANGE_FIELDS} for one in given.ranges]
    return _test_form(request, caller, test_id, values | {"is_active": "true" if given.is_active else ""}, ranges)


@router.post("/tests/{test_id}/edit")
def edit_test(request: Request, test_id: Id, caller: Administrator, form: Form) -> Response:
    """Change the test; results that are there keep the unit, flag and limits they have."""
    try:
        given = _test_of(form)
        with tenant_work(caller) as session:
            update_test(session, caller.tenant_id, caller.actor, test_id, given)
    except REFUSALS as error:
        return _test_form(request, caller, test_id, texts(form), _typed_ranges(form), error)
    return redirect(request, "/catalogue", flash="The test was changed.")


def _test_of(form: FormData) -> TestInput:
    ranges = [{name: value for name, value in row.items() if value} for row in _typed_ranges(form)]
    return fill(TestInput, form, is_active="is_active" in form, ranges=ranges)


def _typed_ranges(form: FormData) -> list[dict[str, str]]:
    """The rows of the table of ranges in which anything was typed."""
    columns = [[str(value).strip() for value in form.getlist(f"range_{name}")] for name in RANGE_FIELDS]
    rows = [dict(zip(RANGE_FIELDS, row, strict=True)) for row in zip(*columns, strict=False)]
    return [row for row in rows if any(row.values())]


def _test_form(
    request: Request,
    caller: Caller,
    test_id: int | None,
    values: Mapping[str, Any],
    ranges: Sequence[Mapping[str, Any]],
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        choices = load_choices(session, caller.tenant_id)
    context = {
        "test_id": test_id,
        "values": dict(values),
        "errors": errors,
        "ranges": [*ranges, *({} for _ in range(SPARE_RANGES))],
        "departments": [(name, name) for _, name in choices.departments],
        "instruments": [(name, name) for _, name in choices.instruments],
    }
    return show(request, "test_form.html", caller, status=status, context=context)
