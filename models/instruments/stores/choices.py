"""What forms offer to choose from. Reads alone."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.instruments.catalogue_tables import Panel, TestDefinition
from models.instruments.tables import Department, Equipment

Option = tuple[int | str, str]
"""The value a form sends, and what a person reads."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of one tenant, each list in the order people look for it."""

    departments: list[Option]
    instruments: list[Option]
    tests: list[Option]
    panels: list[Option]


def load_choices(session: Session, tenant_id: int, *, offered_only: bool = False) -> Choices:
    """Departments, instruments, tests and panels; with `offered_only` none that is inactive."""
    departments = select(Department.id, Department.name).where(Department.tenant_id == tenant_id)
    instruments = select(Equipment.id, Equipment.name).where(Equipment.tenant_id == tenant_id)
    tests = select(TestDefinition.code, TestDefinition.name).where(TestDefinition.tenant_id == tenant_id)
    panels = select(Panel.code, Panel.name).where(Panel.tenant_id == tenant_id)
    if offered_only:
        instruments = instruments.where(Equipment.status != "inactive")
        tests = tests.where(TestDefinition.is_active)
        panels = panels.where(Panel.is_active)
    return Choices(
        departments=[(row.id, row.name) for row in session.execute(departments.order_by(Department.name))],
        instruments=[(row.id, row.name) for row in session.execute(instruments.order_by(Equipment.name))],
        tests=[(row.code, f"{row.name} ({row.code})") for row in session.execute(tests.order_by(TestDefinition.name))],
        panels=[(row.code, f"{row.name} ({row.code})") for row in session.execute(panels.order_by(Panel.name))],
    )
