"""Departments: the sections of a laboratory and where their notices go."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_kit import REFUSALS, Administrator, Looker, Refusal, complaints, is_stale, show
from api.render import redirect
from models.instruments.inputs import DepartmentChange, DepartmentInput
from models.instruments.stores.departments import create_department, list_departments, update_department
from models.instruments.stores.meanwhile import changed_since
from models.kernel.fields import Id

NEW = 0
"""Stands for the form that adds one, among the forms of those that are there."""
router = APIRouter(prefix="/departments")


@router.get("")
def departments(request: Request, caller: Looker) -> Response:
    """All of them, each with its form."""
    return _page(request, caller)


@router.post("")
def add(request: Request, caller: Administrator, form: Form) -> Response:
    """Add one."""
    try:
        given = fill(DepartmentInput, form)
        with tenant_work(caller) as session:
            create_department(session, caller.tenant_id, caller.actor, given)
    except REFUSALS as error:
        return _page(request, caller, NEW, texts(form), error)
    return redirect(request, "/departments", flash="The department was added.")


@router.post("/{department_id}")
def change(request: Request, department_id: Id, caller: Administrator, form: Form) -> Response:
    """Give it another name or address, unless somebody else did since the page was opened."""
    try:
        given = fill(DepartmentChange, form)
        with tenant_work(caller) as session:
            update_department(session, caller.tenant_id, caller.actor, department_id, given)
    except REFUSALS as error:
        return _page(request, caller, department_id, texts(form), error)
    return redirect(request, "/departments", flash="The department was changed.")


def _page(
    request: Request,
    caller: Caller,
    refused_id: int | None = None,
    typed: Mapping[str, str] | None = None,
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    shown, meanwhile = dict(typed or {}), None
    with tenant_work(caller) as session:
        rows = list_departments(session, caller.tenant_id)
        if refused_id and is_stale(refused):
            found = changed_since(session, caller.tenant_id, "department", refused_id, int(shown["version"]))
            meanwhile = meanwhile_view(found, shown)
            shown |= meanwhile.merged if meanwhile else {}
            shown.pop("version", None)  # the form goes on from what is there now; after a mistake it does not
    context = {
        "rows": rows,
        "refused_id": refused_id,
        "typed": shown,
        "errors": errors,
        "new": NEW,
        "meanwhile": meanwhile,
        "now_address": "/departments",
    }
    return show(request, "departments.html", caller, status=status, context=context)
