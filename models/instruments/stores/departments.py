"""Departments: the sections of a laboratory."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.instruments.inputs import DepartmentChange, DepartmentInput
from models.instruments.stores.meanwhile import refuse_stale
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
    session: Session, tenant_id: int, actor: Actor, department_id: int, given: DepartmentChange
) -> Department:
    """The department with its new name and address; ConflictError when somebody changed it since it was read."""
    wanted = select(Department).where(Department.tenant_id == tenant_id, Department.id == department_id)
    row = session.scalar(wanted.with_for_update().execution_options(populate_existing=True))
    if row is None:
        raise NotFoundError(f"no department {department_id}", resource="department", resource_id=department_id)
    new = given.model_dump(exclude={"version"})
    changes: dict[str, list[object]] = {
        name: [getattr(row, name), to] for name, to in new.items() if getattr(row, name) != to
    }
    if not changes:
        return row
    refuse_stale(seen=given.version, present=row.version, what=f"department {department_id}")
    _refuse_taken(session, tenant_id, given.name, but=department_id)
    row.name, row.email, row.version = given.name, given.email, row.version + 1
    changes["version"] = [given.version, row.version]
    session.flush()
    record(session, tenant_id, actor, Action("department.update", "department", row.id, changes))
    return row


def _refuse_taken(session: Session, tenant_id: int, name: str, but: int | None = None) -> None:
    wanted = select(Department.id).where(Department.tenant_id == tenant_id, func.lower(Department.name) == name.lower())
    if session.scalar(wanted.where(Department.id != but) if but else wanted) is not None:
        raise ConflictError("a department has this name already", field="name")
