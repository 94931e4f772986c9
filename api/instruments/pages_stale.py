"""What is open for more than a day, and noting that somebody knows: then nobody is mailed about it again."""

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form
from api.instruments.pages_kit import REFUSALS, Refusal, Staff, complaints, show
from api.render import redirect
from models.instruments.inputs import AcknowledgeInput, WorklistFilter
from models.instruments.stores.comments import acknowledge_stale
from models.instruments.stores.worklist import MOST_ROWS, load_worklist

router = APIRouter(prefix="/stale")


@router.get("")
def stale(request: Request, caller: Staff) -> Response:
    """The longest open first, those nobody has noted above the others. It shows codes, no names and no values."""
    return _page(request, caller)


@router.post("/acknowledge")
def acknowledge(request: Request, caller: Staff, form: Form) -> Response:
    """Note that somebody knows about the chosen ones."""
    try:
        given = AcknowledgeInput.model_validate({"assignment_ids": [str(one) for one in form.getlist("chosen")]})
        with tenant_work(caller) as session:
            ids = acknowledge_stale(session, caller.tenant_id, caller.actor, given)
    except REFUSALS as error:
        return _page(request, caller, error)
    return redirect(request, "/stale", flash=f"{len(ids)} noted.")


def _page(request: Request, caller: Caller, refused: Refusal | None = None) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        rows = load_worklist(session, caller.tenant_id, WorklistFilter(is_stale=True), limit=MOST_ROWS)
    rows.sort(key=lambda row: (row.is_acknowledged, row.ordered_at, row.id))
    context = {"rows": rows, "is_empty_choice": bool(errors), "most": MOST_ROWS}
    return show(request, "stale.html", caller, status=status, context=context)
