"""The work list: filters, counts by state, a field to scan into, sending, fetching, and a table that renews itself.

It shows codes, states and marks; names and values are on the assignment's page, where reading them is audited.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.forms import Form
from api.instruments.pages_kit import Reader, Technician, is_fragment, show
from api.instruments.worklist_view import View, load_board
from api.render import redirect, render
from api.runs import start_fetching, start_sending
from models.instruments.stores.actions import fetch_now, send_now
from models.instruments.stores.choices import load_choices
from models.instruments.stores.worklist import find_accession
from models.instruments.tables import Assignment
from models.kernel.audit import Actor
from models.kernel.errors import InvalidError, NotFoundError, RefusedError

MOST_AT_ONCE = 200
Deed = Callable[[Session, int, Actor, int], Assignment]
router = APIRouter()


@router.get("/worklist")
def worklist(request: Request, caller: Reader) -> Response:
    """The whole page."""
    view = View.read(request.query_params)
    with tenant_work(caller) as session:
        context = {"view": view, "board": load_board(session, caller.tenant_id, view)}
        context["choices"] = load_choices(session, caller.tenant_id)
    return show(request, "worklist.html", caller, context=context)


@router.get("/worklist/rows")
def rows(request: Request, caller: Reader, seen: Annotated[str, Query()] = "") -> Response:
    """The table alone, for the page that is open; nothing at all when it would look the same."""
    view = View.read(request.query_params)
    with tenant_work(caller) as session:
        board = load_board(session, caller.tenant_id, view)
    if board.mark == seen:
        return Response(status_code=204)
    return show(request, "_worklist.html", caller, context={"view": view, "board": board})


@router.get("/worklist/scan")
def scan(request: Request, caller: Reader, code: Annotated[str, Query()] = "") -> Response:
    """The one assignment a scanned code stands for; the list of them where there are several."""
    with tenant_work(caller) as session:
        found = find_accession(session, caller.tenant_id, code) if code.strip() else []
    if len(found) == 1:
        return RedirectResponse(f"/assignments/{found[0]}", 303)
    if found:
        return RedirectResponse(View(states=("all",), search=code.strip()).address(), 303)
    return redirect(
        request, "/worklist", flash="Nothing here has this code. Scan again, or filter by text.", level="warning"
    )


@router.post("/worklist/send")
def send(request: Request, caller: Technician, form: Form) -> Response:
    """Hand the chosen assignments to their instruments; each that cannot go is named with the reason."""
    chosen = _chosen(form.getlist("only") or form.getlist("chosen"))
    done, problems = _each(caller, chosen, send_now)
    if done:
        start_sending(caller, done)
    said = f"{_count(done)} handed over for sending.".capitalize() if done else ""
    return _answer(request, caller, View.read(form), said, problems)


@router.post("/worklist/fetch")
def fetch(request: Request, caller: Technician, form: Form) -> Response:
    """Ask the instruments for the chosen assignments' results now."""
    chosen = _chosen(form.getlist("only") or form.getlist("chosen"))
    done, problems = _each(caller, chosen, fetch_now)
    if done:
        start_fetching(caller, done)
    said = f"Results of {_count(done)} asked for." if done else ""
    return _answer(request, caller, View.read(form), said, problems)


def _each(caller: Caller, ids: Sequence[int], do: Deed) -> tuple[list[int], list[str]]:
    """What was done, and what was refused with its reason; each in a transaction of its own.

    NotFoundError only where it was about nothing else: what is done must be told.
    """
    done, problems = [], []
    for assignment_id in ids:
        try:
            with tenant_work(caller) as session:
                do(session, caller.tenant_id, caller.actor, assignment_id)
        except RefusedError as error:
            if isinstance(error, NotFoundError) and len(ids) == 1:
                raise
            problems.append(f"{assignment_id}: {error}")
        else:
            done.append(assignment_id)
    return done, problems


def _answer(request: Request, caller: Caller, view: View, said: str, problems: list[str]) -> Response:
    level = "success" if not problems else "warning" if said else "error"
    text = said or ("Nothing chosen: tick the rows first." if not problems else "Not possible:")
    if not is_fragment(request):
        return redirect(request, view.address(), flash=" ".join([text, *problems]), level=level if said else "error")
    flash = (level if said else "error", text)
    response = render(request, "partials/flash.html", caller, flash=flash, details=problems)
    response.headers["HX-Trigger-After-Swap"] = "renew"  # the table asks for itself, under the filters of that moment
    return response


def _chosen(values: Sequence[object]) -> list[int]:
    if len(values) > MOST_AT_ONCE or not all(isinstance(one, str) and one.isdigit() for one in values):
        raise InvalidError(f"choose at most {MOST_AT_ONCE} assignments", field="chosen")
    return [int(str(one)) for one in values]


def _count(done: Sequence[int]) -> str:
    return f"assignment {done[0]}" if len(done) == 1 else f"{len(done)} assignments"
