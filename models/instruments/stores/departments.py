"""Departments: the sections of a laboratory."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.instruments.inputs import DepartmentInput
from models.instruments.tables import Department
from models.kernel.audit import Action, Actor, record
from models.kernel.errors import ConflictError, NotFoundError


def list_departments(session: Session, tenant_id: int) -> Sequence[Department]:
    """All of them, by name."""
    return session.scalars(select(Department).where(Department.tenant_id == tenant_id).order_by(Department.name)).all()


def get_department(session: Session, tenant_id: int, department_id: int, *, field: str | None = None) -> Department:
    """The department, or NotFoundError; `field` names where a request referred to it."""
    found = session.get(Department, (tenant_id, department_id))
    if found is None:
        message = f"no department {department_id}"
        raise NotFoundError(message, field=field, resource="department", resource_id=department_id)
    return found


def create_department(session: Session, tenant_id: int, actor: Actor, given: DepartmentInput) -> Department:
    """A new department; ConflictError where the name is taken, upper and lower case alike."""
    _refuse_taken(session, tenant_id, given.name)
    made = Department(tenant_id=tenant_id, name=given.name, email=given.email)
    session.add(made)
    session.flush()
    record(session, tenant_id, actor, Action("department.create", "department", made.id, given.model_dump()))
    return made


def update_department(
    session: Session, tenant_id: int, actor: Actor, department_id: int, given: DepartmentInput
) -> Department:
    """The department with its new name and address."""
    row = get_department(session, tenant_id, department_id)
    _refuse_taken(session, tenant_id, given.name, but=department_id)
    changes = {name: [getattr(row, name), new] for name, new in given.model_dump().items() if getattr(row, name) != new}
    row.name, row.email = given.name, given.email
    session.flush()
    if changes:
        record(session, tenant_id, actor, Action("department.update", "department", row.id, changes))
    return row


def _refuse_taken(session: Session, tenant_id: int, name: str, but: int | None = None) -> None:
    wanted = select(Department.id).where(Department.tenant_id == tenant_id, func.lower(Department.name) == name.lower())
    if session.scalar(wanted.where(Department.id != but) if but else wanted) is not None:
        raise ConflictError("a department has this name already", field="name")
