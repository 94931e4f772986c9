"""The test catalogue: what can be ordered, in which unit, and what is normal."""

from decimal import Decimal

from sqlalchemy import CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow, references


class TestDefinition(TenantRow, Base):
    """One test: LOINC code, UCUM unit, plausible limits (outside: held) and panic limits (outside: critical)."""

    __test__ = False
    __tablename__ = "test_definition"
    __table_args__ = (
        UniqueConstraint("tenant_id", "code"),
        references("department"),
        references("equipment"),
        CheckConstraint("verification_levels BETWEEN 1 AND 3", name="verification_levels"),
        CheckConstraint("result_type IN ('numeric', 'text')", name="result_type"),
    )

    code: Mapped[str]
    loinc: Mapped[str | None]
    name: Mapped[str]
    specimen_type: Mapped[str]
    result_type: Mapped[str] = mapped_column(server_default="numeric")
    unit: Mapped[str]
    plausible_low: Mapped[Decimal | None]
    plausible_high: Mapped[Decimal | None]
    panic_low: Mapped[Decimal | None]
    panic_high: Mapped[Decimal | None]
    verification_levels: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    department_id: Mapped[int | None]
    equipment_id: Mapped[int | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    source: Mapped[str] = mapped_column(server_default="")
    version: Mapped[int] = mapped_column(server_default=text("1"))


class ReferenceRange(TenantRow, Base):
    """What is normal, or critical, for a sex (None: any) from one age up to, not including, another, in days of life.

    Its panic limits go before the test's.
    """

    __tablename__ = "reference_range"
    __table_args__ = (references("test_definition", "test_id"), Index(None, "tenant_id", "test_id"))

    test_id: Mapped[int]
    sex: Mapped[str | None]
    age_from_days: Mapped[int] = mapped_column(server_default=text("0"))
    age_to_days: Mapped[int | None]
    low: Mapped[Decimal | None]
    high: Mapped[Decimal | None]
    panic_low: Mapped[Decimal | None]
    panic_high: Mapped[Decimal | None]


class Panel(TenantRow, Base):
    """Several tests ordered as one, such as CBC; each becomes an assignment of its own."""

    __tablename__ = "panel"
    __table_args__ = (UniqueConstraint("tenant_id", "code"),)

    code: Mapped[str]
    name: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    version: Mapped[int] = mapped_column(server_default=text("1"))


class PanelTest(TenantRow, Base):
    """A test's place in a panel."""

    __tablename__ = "panel_test"
    __table_args__ = (
        references("panel"),
        references("test_definition", "test_id"),
        UniqueConstraint("tenant_id", "panel_id", "test_id"),
    )

    panel_id: Mapped[int]
    test_id: Mapped[int]
    position: Mapped[int] = mapped_column(SmallInteger)
