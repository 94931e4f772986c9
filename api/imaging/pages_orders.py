"""Radiology orders as a list: by state, the most urgent first, kept up to date while it is open."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.deps import Caller, tenant_work
from api.forms import whole_number
from api.imaging.pages_kit import Looker, show
from models.imaging.stores.orders import STATES, OrderFilter, OrderRow, count_orders, list_orders
from models.kernel.errors import InvalidError
from models.people.stores.patients import find_by_code
from models.people.stores.reads import note_read

PAGE_SIZE = 25
router = APIRouter(prefix="/radiology/orders")


@dataclass(frozen=True, slots=True)
class View:
    """The filters: a state (empty: all), a patient by code, an accession number."""

    state: str = ""
    patient: str = ""
    accession: str = ""
    page: int = 1

    @classmethod
    def read(cls, request: Request) -> "View":
        """The filters an address asks for; InvalidError names one that does not exist."""
        given = request.query_params
        if (state := given.get("state", "")) not in ("", *STATES):
            raise InvalidError("is not one of the choices", field="state")
        page = whole_number(given.get("page"), field="page") or 1
        patient, accession = (given.get(name, "").strip()[:64] for name in ("patient", "accession"))
        return cls(state, patient, accession, max(1, min(page, 10_000)))

    @property
    def is_filtered(self) -> bool:
        """Whether something other than the state narrows the list."""
        return bool(self.patient or self.accession)

    def query(self, **changes: Any) -> str:
        """The filters as the part of an address behind the question mark."""
        other = replace(self, **({"page": 1} | changes))
        pairs = [(name, value) for name in ("state", "patient", "accession") if (value := getattr(other, name))]
        return urlencode([*pairs, *([("page", str(other.page))] if other.page > 1 else [])])

    def address(self, **changes: Any) -> str:
        """The address of the list under these filters."""
        query = self.query(**changes)
        return "/radiology/orders" + (f"?{query}" if query else "")

    def page_address(self, number: int) -> str:
        """The address of another page of the same list."""
        return self.address(page=number)


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one page, the counts beside them, and a mark that changes when what is shown does."""

    rows: Sequence[OrderRow]
    counts: dict[str, int]
    total: int
    mark: str


@router.get("")
def radiology_orders(request: Request, caller: Looker) -> Response:
    """The whole page; that its patients were shown is noted."""
    view = View.read(request)
    with tenant_work(caller) as session:
        board = _board(session, caller, view)
    return show(request, "orders.html", caller, context={"view": view, "board": board})


@router.get("/rows")
def radiology_order_rows(request: Request, caller: Looker, seen: Annotated[str, Query()] = "") -> Response:
    """The table alone, for the page that is open; nothing at all when it would look the same."""
    view = View.read(request)
    with tenant_work(caller) as session:
        board = _board(session, caller, view, seen)
    if board.mark == seen:
        return Response(status_code=204)
    return show(request, "_orders.html", caller, context={"view": view, "board": board})


def _board(session: Session, caller: Caller, view: View, seen: str = "") -> Board:
    patient_id = None
    if view.patient:
        patient = find_by_code(session, caller.tenant_id, view.patient)
        if patient is None:
            return Board([], dict.fromkeys(STATES, 0), 0, "none")
        patient_id = patient.id
    wanted = OrderFilter(view.state, patient_id, view.accession)
    rows, total = list_orders(session, caller.tenant_id, wanted, page=view.page, size=PAGE_SIZE)
    counts = count_orders(session, caller.tenant_id, wanted)
    mark = hashlib.sha256(repr(([_shown(row) for row in rows], counts)).encode()).hexdigest()[:16]
    if mark != seen:
        note_read(session, caller.tenant_id, caller.actor, [row.patient.id for row in rows])
    return Board(rows, counts, total, mark)


def _shown(row: OrderRow) -> tuple[object, ...]:
    """What the table tells of an order. The patient's name and code change without the order's version."""
    who = (row.patient.id, row.patient.code, row.patient.family_name, row.patient.given_names)
    return (row.order.id, row.order.version, row.study.image_count if row.study else 0, *who)
