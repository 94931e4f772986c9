"""Data Docs: what every validation of a batch found, for the staff of its tenant. Ids of rows, never a value."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text
from sqlalchemy.orm import Session

from models.kernel.audit import Actor
from models.kernel.errors import NotFoundError
from models.kernel.settings import settings
from models.upkeep.tables import QualityCheck


@dataclass(frozen=True, slots=True)
class Validation:
    """What a suite found in one tenant's part of a batch. `result` is in Great Expectations' form.

    `batch` names rows that can be looked at again, such as a day: what is found then takes the place of this.
    """

    suite: str
    validated_at: datetime
    rows: int
    failed_rows: int
    result: dict[str, Any]
    batch: str | None = None

    @property
    def failed_expectations(self) -> int:
        """How many expectations were not met."""
        return sum(not one["success"] for one in self.result["results"])


@dataclass(frozen=True, slots=True)
class CheckFilter:
    """Which checks; an empty suite means all, `is_met` None those that met everything and those that did not."""

    suite: str = ""
    is_met: bool | None = None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check as a list shows it."""

    id: int
    suite: str
    validated_at: datetime
    flow: str
    flow_run_id: str
    is_met: bool
    rows: int
    failed_rows: int
    expectations: int
    failed_expectations: int
    batch: str | None = None


@dataclass(frozen=True, slots=True)
class CheckCounts:
    """How many kept checks there are, those that met everything, and the rows of all of them."""

    met: int
    not_met: int
    rows: int
    failed_rows: int


COLUMNS = (
    *(QualityCheck.id, QualityCheck.suite, QualityCheck.validated_at, QualityCheck.flow, QualityCheck.flow_run_id),
    *(QualityCheck.is_met, QualityCheck.rows, QualityCheck.failed_rows),
    *(QualityCheck.expectations, QualityCheck.failed_expectations, QualityCheck.batch),
)
# The place where history ends is found first: rows that are kept are not locked. Two runs that prune at the same time
# do not wait for each other; what one leaves, the next takes.
PRUNE = text("""
DELETE FROM quality_check WHERE tenant_id = :tenant_id AND id IN (
    SELECT id FROM quality_check
    WHERE tenant_id = :tenant_id AND suite = :suite AND is_met = :is_met AND id <= (
        SELECT id FROM quality_check WHERE tenant_id = :tenant_id AND suite = :suite AND is_met = :is_met
        ORDER BY id DESC LIMIT 1 OFFSET :kept
    )
    FOR UPDATE SKIP LOCKED
)
""")
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:batch, 0))")


def record_validation(session: Session, tenant_id: int, actor: Actor, validation: Validation) -> None:
    """Keep what was found, and drop what is older than the newest ones of this suite.

    As many that met everything are kept as that did not (LABWIRE_QUALITY_CHECKS_KEPT): good days push no bad one out.
    Of a batch with a name nothing changes when the same was found in it before.
    """
    failed = validation.failed_expectations
    columns = {
        "validated_at": validation.validated_at,
        "flow": actor.label,
        "flow_run_id": actor.id,
        "is_met": not failed,
        "rows": validation.rows,
        "failed_rows": validation.failed_rows,
        "expectations": len(validation.result["results"]),
        "failed_expectations": failed,
        "result": validation.result,
    }
    earlier = _of_batch(session, tenant_id, validation.suite, validation.batch) if validation.batch else None
    if earlier is None:
        session.add(QualityCheck(tenant_id=tenant_id, suite=validation.suite, batch=validation.batch, **columns))
    elif (earlier.rows, earlier.result) != (validation.rows, json.loads(json.dumps(validation.result))):
        for name, value in columns.items():
            setattr(earlier, name, value)
    session.flush()
    kept = settings().quality_checks_kept
    session.execute(PRUNE, {"tenant_id": tenant_id, "suite": validation.suite, "is_met": not failed, "kept": kept})


def failed_before(session: Session, tenant_id: int, suite: str, batch: str, column: str) -> frozenset[int]:
    """The ids in `column` that failed when this batch was looked at before, at most 1,000 of each expectation.

    Until the transaction ends nobody else keeps anything of this batch.
    """
    earlier = _of_batch(session, tenant_id, suite, batch)
    results = () if earlier is None else earlier.result["results"]
    groups = (group for one in results for group in one["result"].get("unexpected_index_list", ()))
    return frozenset(number for group in groups for number in group[column])


def _of_batch(session: Session, tenant_id: int, suite: str, batch: str) -> QualityCheck | None:
    """What is kept of this batch, and nobody else's until the transaction ends, whether there is anything or not."""
    session.execute(LOCK, {"batch": f"quality_check:{tenant_id}:{suite}:{batch}"})
    wanted = select(QualityCheck).where(
        QualityCheck.tenant_id == tenant_id, QualityCheck.suite == suite, QualityCheck.batch == batch
    )
    return session.scalar(wanted)


def list_checks(
    session: Session, tenant_id: int, wanted: CheckFilter, *, limit: int = 50, offset: int = 0
) -> list[CheckRow]:
    """The newest first."""
    found: Select[Any] = select(*COLUMNS).where(*_conditions(tenant_id, wanted)).order_by(QualityCheck.id.desc())
    return [CheckRow(*row) for row in session.execute(found.limit(limit).offset(offset))]


def count_checks(session: Session, tenant_id: int, suite: str = "") -> CheckCounts:
    """The counts of one suite, or of all for an empty name."""
    met = func.count().filter(QualityCheck.is_met)
    rows, failed = func.coalesce(func.sum(QualityCheck.rows), 0), func.coalesce(func.sum(QualityCheck.failed_rows), 0)
    found = select(met, func.count() - met, rows, failed).where(*_conditions(tenant_id, CheckFilter(suite)))
    return CheckCounts(*(int(number) for number in session.execute(found).one()))


def list_suites(session: Session, tenant_id: int) -> Sequence[str]:
    """The suites that anything is kept of."""
    return sorted(session.scalars(select(QualityCheck.suite).where(QualityCheck.tenant_id == tenant_id).distinct()))


def get_check(session: Session, tenant_id: int, check_id: int) -> tuple[CheckRow, dict[str, Any]]:
    """One check and its result, or NotFoundError."""
    wanted: Select[Any] = select(*COLUMNS, QualityCheck.result)
    row = session.execute(wanted.where(QualityCheck.tenant_id == tenant_id, QualityCheck.id == check_id)).first()
    if row is None:
        raise NotFoundError(f"no quality check {check_id}", resource="quality_check", resource_id=check_id)
    return CheckRow(*row[:-1]), row[-1]


def _conditions(tenant_id: int, wanted: CheckFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [QualityCheck.tenant_id == tenant_id]
    if wanted.suite:
        conditions.append(QualityCheck.suite == wanted.suite)
    if wanted.is_met is not None:
        conditions.append(QualityCheck.is_met.is_(wanted.is_met))
    return conditions
