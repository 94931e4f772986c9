"""What the work list is looking at: its filters as an address, and the rows and counts under them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.orm import Session
from starlette.datastructures import FormData, QueryParams

from api.forms import whole_number
from models.instruments.inputs import WorklistFilter
from models.instruments.rules import PRIORITIES, Status, reasons_not_to_send
from models.instruments.stores.worklist import WorklistRow, count_by_state, load_worklist
from models.kernel.errors import InvalidError

PAGE_SIZE = 50
OPEN_WORK = tuple(str(one) for one in "PUQIHFAV")
"""What somebody still has something to do with: everything but released and cancelled."""
ORDER = tuple(str(one) for one in "PUQIHFAVRC")
MARKS = {"": "any age", "stale": "open for more than 24 h", "expiring": "result soon forgotten (20 h)"}


@dataclass(frozen=True, slots=True)
class View:
    """The filters. `states` empty is the open work; `all` is every state."""

    states: tuple[str, ...] = ()
    priority: str = ""
    department: int | None = None
    instrument: int | None = None
    test: str = ""
    search: str = ""
    mark: str = ""
    page: int = 1

    @classmethod
    def read(cls, given: QueryParams | FormData) -> "View":
        """The filters an address or a form asks for; InvalidError names one that does not exist."""
        states = tuple(str(one) for one in given.getlist("state") if one)
        priority, mark = str(given.get("priority") or ""), str(given.get("mark") or "")
        for name, ok in (
            ("state", all(one in (*ORDER, "all") for one in states)),
            ("priority", priority in ("", *PRIORITIES)),
            ("mark", mark in MARKS),
        ):
            if not ok:
                raise InvalidError("is not one of the choices", field=name)
        return cls(
            states=("all",) if "all" in states else tuple(one for one in ORDER if one in states),
            priority=priority,
            department=whole_number(given.get("department"), field="department"),
            instrument=whole_number(given.get("instrument"), field="instrument"),
            test=str(given.get("test") or "").strip()[:64],
            search=str(given.get("search") or "").strip()[:200],
            mark=mark,
            page=max(1, min(whole_number(given.get("page"), field="page") or 1, 10_000)),
        )

    @property
    def shown(self) -> tuple[str, ...]:
        """The states whose rows are shown; empty for all."""
        return () if self.states == ("all",) else self.states or OPEN_WORK

    @property
    def is_filtered(self) -> bool:
        """Whether something other than the state narrows the list."""
        return bool(self.priority or self.department or self.instrument or self.test or self.search or self.mark)

    def as_filter(self) -> WorklistFilter:
        """The filters as the store takes them."""
        return WorklistFilter(
            status=list(self.shown),
            priority=self.priority or None,
            department_id=self.department,
            equipment_id=self.instrument,
            test_code=self.test or None,
            search=self.search,
            is_stale=True if self.mark == "stale" else None,
            is_expiring=True if self.mark == "expiring" else None,
        )

    def query(self, **changes: Any) -> str:
        """The filters as the part of an address behind the question mark."""
        other = replace(self, **({"page": 1} | changes))
        pairs = [("state", one) for one in other.states]
        for name in ("priority", "department", "instrument", "test", "search", "mark"):
            if value := getattr(other, name):
                pairs.append((name, str(value)))
        if other.page > 1:
            pairs.append(("page", str(other.page)))
        return urlencode(pairs)

    def address(self, **changes: Any) -> str:
        """The address of the list under these filters."""
        query = self.query(**changes)
        return f"/worklist?{query}" if query else "/worklist"

    def page_address(self, number: int) -> str:
        """The address of another page of the same list."""
        return self.address(page=number)


@dataclass(frozen=True, slots=True)
class Board:
    """The rows of one page, the counts beside them, and a mark that changes when what is shown does."""

    rows: list[WorklistRow]
    counts: dict[str, int]
    total: int
    mark: str
    unsendable: dict[int, list[str]] = field(default_factory=dict)

    @property
    def open_count(self) -> int:
        """Everything somebody still has something to do with."""
        return sum(self.counts[one] for one in OPEN_WORK)

    @property
    def whole_count(self) -> int:
        """Everything."""
        return sum(self.counts.values())


def load_board(session: Session, tenant_id: int, view: View) -> Board:
    """What the list shows under these filters."""
    wanted = view.as_filter()
    counts = count_by_state(session, tenant_id, wanted)
    total = sum(counts[one] for one in view.shown or ORDER)
    rows = load_worklist(session, tenant_id, wanted, limit=PAGE_SIZE, offset=(view.page - 1) * PAGE_SIZE)
    unsendable = {
        row.id: reasons_not_to_send(row.status, row.equipment_status, "there is one" if row.has_endpoint else None)
        for row in rows
        if row.status == Status.PENDING
    }
    return Board(rows, counts, total, _mark(rows, counts), unsendable)


def _mark(rows: Sequence[WorklistRow], counts: dict[str, int]) -> str:
    """Of all that a row has: names, codes and instruments change without the assignment's version."""
    return hashlib.sha256(repr((rows, sorted(counts.items()))).encode()).hexdigest()[:16]
