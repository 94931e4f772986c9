"""The test catalogue: all of it to look at, and tests with their ranges to change."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, Shape, fill, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_kit import REFUSALS, Administrator, Looker, Refusal, complaints, is_stale, show
from api.render import redirect
from models.instruments.catalogue_inputs import TestChange, TestInput
from models.instruments.stores.catalogue import create_test, get_test, inputs_of, list_panels, list_tests, update_test
from models.instruments.stores.choices import load_choices
from models.instruments.stores.meanwhile import changed_since
from models.kernel.fields import Id

RANGE_FIELDS = ("sex", "age_from_days", "age_to_days", "low", "high", "panic_low", "panic_high")
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
        given = _test_of(form, TestInput)
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
    values = {name: getattr(given, name) for name in TestChange.model_fields if name != "ranges"}
    ranges = [{name: getattr(one, name) for name in RANGE_FIELDS} for one in given.ranges]
    return _test_form(request, caller, test_id, values | {"is_active": "true" if given.is_active else ""}, ranges)


@router.post("/tests/{test_id}/edit")
def edit_test(request: Request, test_id: Id, caller: Administrator, form: Form) -> Response:
    """Change the test, unless somebody else did since the form was opened; results keep what they have."""
    try:
        given = _test_of(form, TestChange)
        with tenant_work(caller) as session:
            update_test(session, caller.tenant_id, caller.actor, test_id, given)
    except REFUSALS as error:
        return _test_form(request, caller, test_id, texts(form), _typed_ranges(form), error)
    return redirect(request, "/catalogue", flash="The test was changed.")


def _test_of(form: FormData, shape: type[Shape]) -> Shape:
    ranges = [{name: value for name, value in row.items() if value} for row in _typed_ranges(form)]
    return fill(shape, form, is_active="is_active" in form, ranges=ranges)


def _typed_ranges(form: FormData) -> list[dict[str, str]]:
    """The rows of the table of ranges in which anything was typed."""
    columns = [[str(value).strip() for value in form.getlist(f"range_{name}")] for name in RANGE_FIELDS]
    rows = [dict(zip(RANGE_FIELDS, row, strict=True)) for row in zip_longest(*columns, fillvalue="")]
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
    shown, meanwhile = dict(values), None
    with tenant_work(caller) as session:
        choices = load_choices(session, caller.tenant_id)
        if test_id is not None and is_stale(refused):
            typed = shown | {"ranges": [_plain_range(one) for one in ranges], "is_active": "is_active" in shown}
            found = changed_since(session, caller.tenant_id, "test_definition", test_id, int(shown["version"]))
            if meanwhile := meanwhile_view(found, typed):
                ranges = meanwhile.merged.pop("ranges", ranges)
                shown |= {name: _shown(value) for name, value in meanwhile.merged.items()}
            shown["version"] = get_test(session, caller.tenant_id, test_id).version
    context = {
        "test_id": test_id,
        "meanwhile": meanwhile,
        "values": shown,
        "errors": errors,
        "ranges": [*ranges, *({} for _ in range(SPARE_RANGES))],
        "departments": [(name, name) for _, name in choices.departments],
        "instruments": [(name, name) for _, name in choices.instruments],
    }
    return show(request, "test_form.html", caller, status=status, context=context)


def _plain_range(one: Mapping[str, Any]) -> dict[str, Any]:
    """A typed range as the audit trail has it: from birth is no lower age."""
    return {name: value for name, value in one.items() if (name, value) != ("age_from_days", "0")}


def _shown(value: Any) -> Any:
    return "true" if value is True else "" if value is False else value
