"""The ladder and the contacts: who is told after how long, and whether each step reaches anybody."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from api.alerts import words
from api.alerts.ladder_form import Ladder, beside_fields, read_ladder, shown_ladder
from api.alerts.pages_kit import is_stale, show
from api.deps import Caller, page, tenant_work
from api.forms import Form, fill, texts
from api.instruments.meanwhile_view import MeanwhileView, meanwhile_view
from api.instruments.pages_kit import complaints
from api.render import redirect
from api.runs import start_delivering
from models.alerts.schemas import ContactIn, PolicyIn
from models.alerts.stores import setup
from models.instruments.stores.meanwhile import changed_since
from models.kernel.errors import ConflictError
from models.kernel.fields import Id
from models.people.roles import CLINICAL

router = APIRouter(prefix="/alerts/setup")
Looker = Annotated[Caller, Depends(page(*CLINICAL, "administrator"))]
Keeper = Annotated[Caller, Depends(page("supervisor", "administrator"))]
HERE = "/alerts/setup"


@router.get("")
def alert_setup(request: Request, caller: Looker) -> Response:
    """The ladder with those whom each step reaches, and the contacts."""
    return _page(request, caller)


@router.post("/ladder")
def set_ladder(request: Request, caller: Keeper, form: Form) -> Response:
    """Replace the ladder, unless somebody else did since the form was opened."""
    typed = read_ladder(form)
    try:
        given = typed.given(form)
    except ValidationError as error:
        return _page(request, caller, ladder=typed, ladder_refused=error)
    try:
        with tenant_work(caller) as session:
            setup.set_policy(session, caller.tenant_id, caller.actor, given)
    except ConflictError as error:
        return _page(request, caller, ladder=typed, ladder_refused=error, given=given)
    return redirect(request, HERE, flash="The ladder is changed. It holds for what happens from now on.")


@router.post("/contacts")
def add_contact(request: Request, caller: Keeper, form: Form) -> Response:
    """Have somebody told."""
    try:
        given = fill(ContactIn, form)
        with tenant_work(caller) as session:
            setup.add_contact(session, caller.tenant_id, caller.actor, given)
    except (ValidationError, ConflictError) as error:
        return _page(request, caller, contact=texts(form), contact_refused=error)
    return redirect(request, f"{HERE}#contacts", flash="Added. Send a test mail to see whether the address works.")


@router.post("/contacts/{contact_id}/remove")
def remove_contact(request: Request, contact_id: Id, caller: Keeper) -> Response:
    """Have nobody told at this address any more."""
    with tenant_work(caller) as session:
        setup.remove_contact(session, caller.tenant_id, caller.actor, contact_id)
    return redirect(request, f"{HERE}#contacts", flash="Removed. Nobody is told at that address any more.")


@router.post("/contacts/{contact_id}/try")
def try_contact(request: Request, contact_id: Id, caller: Keeper) -> Response:
    """Send a test mail."""
    with tenant_work(caller) as session:
        setup.try_contact(session, caller.tenant_id, caller.actor, contact_id)
    start_delivering(caller)
    return redirect(request, f"{HERE}#contacts", flash="A test mail is on its way.")


def _page(  # noqa: PLR0913 - two forms, each with what was typed and why it was refused
    request: Request,
    caller: Caller,
    *,
    ladder: Ladder | None = None,
    ladder_refused: ValidationError | ConflictError | None = None,
    given: PolicyIn | None = None,
    contact: Mapping[str, str] | None = None,
    contact_refused: ValidationError | ConflictError | None = None,
) -> Response:
    status, errors = complaints(ladder_refused or contact_refused)
    meanwhile: MeanwhileView | None = None
    with tenant_work(caller) as session:
        version = setup.policy_version(session, caller.tenant_id)
        policy = setup.load_policy(session, caller.tenant_id)
        reach = setup.reach(session, caller.tenant_id)
        contacts = setup.list_contacts(session, caller.tenant_id)
        trials = setup.trials(session, caller.tenant_id, [one.id for one in contacts])
        if given is not None and is_stale(ladder_refused):
            found = changed_since(session, caller.tenant_id, "alert_policy", caller.tenant_id, given.version)
            mine = given.model_dump(exclude={"version"})
            ladders = [mine["ladder"], *(found.changes.get("ladder", []) if found else [])]
            meanwhile = meanwhile_view(found, mine, {"ladder": {str(one): words.steps(one) for one in ladders}})
            ladder = shown_ladder(mine | (meanwhile.merged if meanwhile else {}), version)
    context: dict[str, Any] = {
        "policy": policy,
        "version": version,
        "reach": reach,
        "contacts": contacts,
        "trials": trials,
        "ladder": ladder or shown_ladder(setup.as_values(policy), version),
        "ladder_errors": beside_fields(errors, ladder) if ladder_refused else {},
        "is_ladder_open": ladder_refused is not None,
        "meanwhile": meanwhile,
        "contact": dict(contact or {}),
        "contact_errors": errors if contact_refused else {},
        "is_keeper": caller.has("supervisor", "administrator"),
    }
    return show(request, "setup.html", caller, status=status, context=context)
