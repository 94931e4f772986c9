"""Tables of upkeep: what the validations of batches found."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow
from models.kernel.tables import NOW


class QualityCheck(TenantRow, Base):
    """One validation of a batch of this tenant's rows. `result` is Great Expectations' own, without any value.

    `batch` names rows that can be looked at again, such as a day; a validation of them is kept once.
    """

    __tablename__ = "quality_check"
    __table_args__ = (
        Index(None, "tenant_id", "suite", "is_met", "id"),
        UniqueConstraint("tenant_id", "suite", "batch"),
    )

    suite: Mapped[str]
    validated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    flow: Mapped[str]
    flow_run_id: Mapped[str]
    is_met: Mapped[bool]
    rows: Mapped[int]
    failed_rows: Mapped[int]
    expectations: Mapped[int]
    failed_expectations: Mapped[int]
    result: Mapped[dict[str, Any]]
    batch: Mapped[str | None]
