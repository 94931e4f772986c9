"""Instruments: how each is doing, one in detail with its check history, and testing whether it answers."""

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.instruments.charts import check_strip
from api.instruments.connection import ask_status
from api.instruments.pages_kit import Keeper, Looker, is_fragment, show
from api.instruments.push_key_routes import push_address
from api.render import redirect
from models.instruments.stores.equipment import current_keys, get_equipment
from models.instruments.stores.fleet import check_slots, get_fleet_row, list_fleet
from models.instruments.stores.push_keys import list_push_keys
from models.instruments.stores.recent_checks import list_outages
from models.kernel.clock import utc_now
from models.kernel.errors import ConflictError
from models.kernel.fields import Id

STRIP_HOURS, STRIP_MINUTES = 48, 30
router = APIRouter(prefix="/instruments")


@router.get("")
def instruments(request: Request, caller: Looker) -> Response:
    """All instruments with their figures."""
    with tenant_work(caller) as session:
        fleet = list_fleet(session, caller.tenant_id)
    return show(request, "instruments.html", caller, context={"fleet": fleet})


@router.get("/{equipment_id}")
def instrument(request: Request, equipment_id: Id, caller: Looker) -> Response:
    """One instrument: facts, figures, keys, and how its checks went."""
    return instrument_page(request, caller, equipment_id)


@router.post("/{equipment_id}/test-connection")
def test_connection(request: Request, equipment_id: Id, caller: Keeper) -> Response:
    """Ask it for its status now, and say what came of it."""
    answer, problem = None, ""
    try:
        answer = ask_status(caller, equipment_id)
        problem = answer.problem or ""
    except ConflictError as error:
        problem = str(error)
    if is_fragment(request):
        return show(request, "_connection.html", caller, context={"answer": answer, "problem": problem})
    said = f"No: {problem}." if problem or answer is None else f"It answered: {answer.status}."
    level = "error" if problem else "success"
    return redirect(request, f"/instruments/{equipment_id}", flash=said, level=level)


def instrument_page(
    request: Request,
    caller: Caller,
    equipment_id: int,
    *,
    status: int = 200,
    errors: dict[str, str] | None = None,
    new_key: str = "",
) -> Response:
    """The page of one instrument; with the complaints about a key that was typed, or the push key just made."""
    with tenant_work(caller) as session:
        row = get_fleet_row(session, caller.tenant_id, equipment_id)
        slots = check_slots(session, caller.tenant_id, equipment_id, hours=STRIP_HOURS, minutes=STRIP_MINUTES)
        context = {
            "row": row,
            "equipment": get_equipment(session, caller.tenant_id, equipment_id),
            "keys": current_keys(session, caller.tenant_id, equipment_id, now=utc_now()),
            "push_keys": list_push_keys(session, caller.tenant_id, equipment_id),
            "push_address": push_address(equipment_id),
            "new_key": new_key,
            "now": utc_now(),
            "boxes": check_strip(slots),
            "slots": slots,
            "outages": list_outages(session, caller.tenant_id, equipment_id),
            "errors": errors or {},
            "hours": STRIP_HOURS,
        }
    return show(request, "instrument.html", caller, status=status, context=context)
