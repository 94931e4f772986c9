"""Panels of the catalogue: several tests ordered as one."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.instruments.pages_kit import REFUSALS, Administrator, Refusal, complaints, show
from api.render import redirect
from models.instruments.catalogue_inputs import PanelInput
from models.instruments.stores.catalogue import list_panels, save_panel
from models.instruments.stores.choices import load_choices
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.fields import Id

router = APIRouter(prefix="/catalogue/panels")


@router.get("/new")
def show_new_panel(request: Request, caller: Administrator) -> Response:
    """The form for a new panel."""
    return _form(request, caller, None, {"is_active": "true"})


@router.post("/new")
def add_panel(request: Request, caller: Administrator, form: Form) -> Response:
    """Add the panel."""
    try:
        given = _panel_of(form)
        with tenant_work(caller) as session:
            save_panel(session, caller.tenant_id, caller.actor, given, is_new=True)
    except REFUSALS as error:
        return _form(request, caller, None, texts(form), error)
    return redirect(request, "/catalogue#panels", flash="The panel was added.")


@router.get("/{panel_id}/edit")
def show_panel(request: Request, panel_id: Id, caller: Administrator) -> Response:
    """The form with the panel as it is."""
    given = _present(caller, panel_id)
    values = {"code": given.code, "name": given.name, "tests": "\n".join(given.tests)}
    return _form(request, caller, panel_id, values | {"is_active": "true" if given.is_active else ""})


@router.post("/{panel_id}/edit")
def edit_panel(request: Request, panel_id: Id, caller: Administrator, form: Form) -> Response:
    """Change the panel; its code stays."""
    before = _present(caller, panel_id)
    try:
        given = _panel_of(form)
        if given.code != before.code:
            raise InvalidError("cannot be changed; make a new panel", field="code")
        with tenant_work(caller) as session:
            save_panel(session, caller.tenant_id, caller.actor, given, is_new=False)
    except REFUSALS as error:
        return _form(request, caller, panel_id, texts(form), error)
    return redirect(request, "/catalogue#panels", flash="The panel was changed.")


def _panel_of(form: FormData) -> PanelInput:
    return fill(PanelInput, form, tests=text(form, "tests").split(), is_active="is_active" in form)


def _present(caller: Caller, panel_id: int) -> PanelInput:
    with tenant_work(caller) as session:
        found = list_panels(session, caller.tenant_id).get(panel_id)
        if found is None:
            raise NotFoundError(f"no panel {panel_id}", resource="panel", resource_id=panel_id)
    return found


def _form(
    request: Request, caller: Caller, panel_id: int | None, values: Mapping[str, Any], refused: Refusal | None = None
) -> Response:
    status, errors = complaints(refused)
    of_tests = next((said for name, said in errors.items() if name.startswith("tests")), "")
    with tenant_work(caller) as session:
        tests = load_choices(session, caller.tenant_id).tests
    context = {"panel_id": panel_id, "values": dict(values), "errors": errors | {"tests": of_tests}, "tests": tests}
    return show(request, "panel_form.html", caller, status=status, context=context)
