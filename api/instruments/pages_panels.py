"""Panels of the catalogue: several tests ordered as one."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, Shape, fill, text, texts
from api.instruments.meanwhile_view import meanwhile_view
from api.instruments.pages_kit import REFUSALS, Administrator, Refusal, complaints, is_stale, show
from api.render import redirect
from models.instruments.catalogue_inputs import PanelChange, PanelInput
from models.instruments.stores.catalogue import list_panels, save_panel
from models.instruments.stores.choices import load_choices
from models.instruments.stores.meanwhile import changed_since
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
        given = _panel_of(form, PanelInput)
        with tenant_work(caller) as session:
            save_panel(session, caller.tenant_id, caller.actor, given, is_new=True)
    except REFUSALS as error:
        return _form(request, caller, None, texts(form), error)
    return redirect(request, "/catalogue#panels", flash="The panel was added.")


@router.get("/{panel_id}/edit")
def show_panel(request: Request, panel_id: Id, caller: Administrator) -> Response:
    """The form with the panel as it is."""
    given = _present(caller, panel_id)
    values = {"code": given.code, "name": given.name, "tests": "\n".join(given.tests), "version": given.version}
    return _form(request, caller, panel_id, values | {"is_active": "true" if given.is_active else ""})


@router.post("/{panel_id}/edit")
def edit_panel(request: Request, panel_id: Id, caller: Administrator, form: Form) -> Response:
    """Change the panel, unless somebody else did since the form was opened; its code stays."""
    before = _present(caller, panel_id)
    try:
        given = _panel_of(form, PanelChange)
        if given.code != before.code:
            raise InvalidError("cannot be changed; make a new panel", field="code")
        with tenant_work(caller) as session:
            save_panel(session, caller.tenant_id, caller.actor, given, is_new=False)
    except REFUSALS as error:
        return _form(request, caller, panel_id, texts(form), error)
    return redirect(request, "/catalogue#panels", flash="The panel was changed.")


def _panel_of(form: FormData, shape: type[Shape]) -> Shape:
    return fill(shape, form, tests=text(form, "tests").split(), is_active="is_active" in form)


def _present(caller: Caller, panel_id: int) -> PanelChange:
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
    shown, meanwhile = dict(values), None
    with tenant_work(caller) as session:
        tests = load_choices(session, caller.tenant_id).tests
        if panel_id is not None and is_stale(refused):
            typed = shown | {"tests": shown.get("tests", "").split(), "is_active": "is_active" in shown}
            found = changed_since(session, caller.tenant_id, "panel", panel_id, int(shown["version"]))
            meanwhile = meanwhile_view(found, typed)
            shown |= _shown(meanwhile.merged) if meanwhile else {}
            shown["version"] = list_panels(session, caller.tenant_id)[panel_id].version
    context = {
        "panel_id": panel_id,
        "values": shown,
        "errors": errors | {"tests": of_tests},
        "tests": tests,
        "meanwhile": meanwhile,
    }
    return show(request, "panel_form.html", caller, status=status, context=context)


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """A panel's values as the fields of the form hold them."""
    shown = dict(values)
    if "tests" in shown:
        shown["tests"] = "\n".join(shown["tests"])
    if "is_active" in shown:
        shown["is_active"] = "true" if shown["is_active"] else ""
    return shown
