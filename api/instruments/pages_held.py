"""Held results: why each is held in plain words, what was received, and the decision with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.instruments.comparison import Compared, compare
from api.instruments.pages_kit import REFUSALS, Refusal, Staff, Supervisor, complaints, show
from api.render import redirect
from api.runs import start_fetching, start_sending
from models.instruments.inputs import HeldInput, MatchInput
from models.instruments.result_rules import ExpectedResult, Violation, parse_result
from models.instruments.stores import held, worklist
from models.instruments.stores.equipment import get_equipment
from models.instruments.stores.expected import load_expected
from models.instruments.stores.held_list import count_held, list_held_rows
from models.instruments.stores.timeline import MOST_SHOWN
from models.instruments.stores.worklist import WorklistRow
from models.instruments.tables import HeldResult, InstrumentMessage
from models.kernel.fields import Id
from models.people.stores.reads import note_read

PAGE_SIZE = 50
Which = Literal["open", "decided"]
router = APIRouter(prefix="/held")


@dataclass(frozen=True, slots=True)
class HeldSheet:
    """Everything the page shows of one held result. `refused` says of a decision why it cannot be taken."""

    held: HeldResult
    message: InstrumentMessage
    equipment: str
    row: WorklistRow | None
    expected: ExpectedResult | None
    compared: list[Compared]
    body: str
    refused: Mapping[str, str]


@router.get("")
def held_list(
    request: Request,
    caller: Staff,
    which: Annotated[Which, Query()] = "open",
    page: Annotated[int, Query(ge=1, le=10_000)] = 1,
) -> Response:
    """Those that wait for a decision, or those decided. It shows codes and rules, no values."""
    with tenant_work(caller) as session:
        offset = (page - 1) * PAGE_SIZE
        rows = list_held_rows(session, caller.tenant_id, is_open=which == "open", limit=PAGE_SIZE, offset=offset)
        waiting, decided = count_held(session, caller.tenant_id)
    context = {
        "rows": rows,
        "which": which,
        "waiting": waiting,
        "decided": decided,
        "page": page,
        "size": PAGE_SIZE,
        "total": waiting if which == "open" else decided,
        "page_address": lambda number: f"/held?which={which}&page={number}",
    }
    return show(request, "held_list.html", caller, context=context)


@router.get("/{held_id}")
def held_result(request: Request, held_id: Id, caller: Staff) -> Response:
    """One held result beside what was expected; that it was read is noted."""
    return _page(request, caller, held_id)


@router.post("/{held_id}/resolve")
def resolve(request: Request, held_id: Id, caller: Supervisor, form: Form) -> Response:
    """Let it through, correct it, fetch it again, or discard it."""
    try:
        # The value is read only where it is a correction: somebody may have typed one and then changed their mind.
        is_correction = text(form, "action") == "correct"
        unit = str(form.get("unit", ""))
        given = fill(HeldInput, form, **({"unit": unit} if is_correction else {"value": None, "unit": None}))
        with tenant_work(caller) as session:
            assignment_id = held.resolve_held(session, caller.tenant_id, caller.actor, held_id, given).assignment_id
    except REFUSALS as error:
        return _page(request, caller, held_id, typed=texts(form), refused=error)
    if assignment_id is not None and given.action == "refetch":
        start_fetching(caller, [assignment_id])
    if assignment_id is not None and given.action == "discard":
        start_sending(caller, [assignment_id])
    said = {
        "release": "Let through. It is verified like any other result.",
        "correct": "Corrected. Another person verifies it.",
        "refetch": "The instrument is asked again.",
        "discard": "Discarded.",
    }
    return redirect(request, "/held", flash=said[given.action])


@router.post("/{held_id}/match")
def match(request: Request, held_id: Id, caller: Supervisor, form: Form) -> Response:
    """Say to which assignment it belongs; it is then checked like any other."""
    try:
        given = fill(MatchInput, form)
        with tenant_work(caller) as session:
            held.match_held(session, caller.tenant_id, caller.actor, held_id, given)
    except REFUSALS as error:
        return _page(request, caller, held_id, typed=texts(form) | {"form": "match"}, refused=error)
    start_fetching(caller, [given.assignment_id])
    return redirect(request, "/held", flash=f"Matched with assignment {given.assignment_id}; it is checked now.")


def _page(
    request: Request,
    caller: Caller,
    held_id: int,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refusal | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        sheet = _load(session, caller, held_id)
    context = {"sheet": sheet, "typed": dict(typed or {}), "errors": errors}
    return show(request, "held.html", caller, status=status, context=context)


def _load(session: Session, caller: Caller, held_id: int) -> HeldSheet:
    tenant_id = caller.tenant_id
    found = held.get_held(session, tenant_id, held_id)
    message = held.get_message(session, found)
    row, expected = None, None
    if found.assignment_id is not None:
        row = worklist.get_row(session, tenant_id, found.assignment_id)
        expected = load_expected(session, tenant_id, [found.assignment_id])[found.assignment_id]
        note_read(session, tenant_id, caller.actor, [row.patient_id])
    result = parse_result(message.body)
    is_readable = not isinstance(result, Violation) and bool((result.value or "").strip())
    return HeldSheet(
        held=found,
        message=message,
        equipment=get_equipment(session, tenant_id, message.equipment_id).name,
        row=row,
        expected=expected,
        compared=compare(expected, result, {str(one["field"]) for one in found.violations}),
        body=message.body[:MOST_SHOWN].decode("utf-8", errors="backslashreplace"),
        refused=_refused(row, message, is_readable=is_readable, is_queued=bool(expected and expected.queue_id)),
    )


def _refused(
    row: WorklistRow | None, message: InstrumentMessage, *, is_readable: bool, is_queued: bool
) -> dict[str, str]:
    """The decisions that cannot be taken, each with the reason."""
    if row is None:
        reason = "it belongs to no assignment yet"
        return {"release": reason, "correct": reason, "refetch": reason}
    refused = {}
    if not is_readable:
        refused["release"] = "it has no value that can be read"
    if not is_queued:
        refused["refetch"] = "the instrument has no number for it"
    if message.run_number is not None and message.run_number != row.run_number:
        refused["release"] = refused["correct"] = "it is of an earlier run"
    return refused
