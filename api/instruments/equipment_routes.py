"""Departments and instruments: what there is, its keys, its figures, and whether it answers."""

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.connection import ask_status
from api.instruments.setup_answers import ConnectionAnswer, DepartmentAnswer, EquipmentAnswer, FleetAnswer, KeyAnswer
from models.instruments.inputs import DepartmentChange, DepartmentInput, EquipmentChange, EquipmentInput, KeyInput
from models.instruments.stores import departments, equipment, fleet
from models.kernel.fields import Id

router = APIRouter(tags=["instruments"])
Reader = Annotated[Caller, Depends(may(scope="instruments:read"))]
Keeper = Annotated[Caller, Depends(may("administrator", "supervisor", scope="instruments:write"))]
Administrator = Annotated[Caller, Depends(may("administrator", scope="instruments:write"))]


@router.get("/departments", responses=errors(401, 403))
def list_departments(caller: Reader) -> list[DepartmentAnswer]:
    """The sections of the laboratory, by name."""
    with tenant_work(caller) as session:
        return [DepartmentAnswer.model_validate(row) for row in departments.list_departments(session, caller.tenant_id)]


@router.post("/departments", status_code=201, responses=errors(401, 403, 409))
def create_department(given: DepartmentInput, caller: Administrator) -> DepartmentAnswer:
    """A new department; 409 when the name is taken."""
    with tenant_work(caller) as session:
        made = departments.create_department(session, caller.tenant_id, caller.actor, given)
        session.refresh(made)
        return DepartmentAnswer.model_validate(made)


@router.put("/departments/{department_id}", responses=errors(401, 403, 404, 409))
def update_department(department_id: Id, given: DepartmentChange, caller: Administrator) -> DepartmentAnswer:
    """The department with its new name and address; 409 when somebody changed it since `version` was read."""
    with tenant_work(caller) as session:
        row = departments.update_department(session, caller.tenant_id, caller.actor, department_id, given)
        return DepartmentAnswer.model_validate(row)


@router.get("/instruments", responses=errors(401, 403))
def list_instruments(caller: Reader) -> list[EquipmentAnswer]:
    """All instruments, by name."""
    with tenant_work(caller) as session:
        return [EquipmentAnswer.model_validate(row) for row in equipment.list_equipment(session, caller.tenant_id)]


@router.post("/instruments", status_code=201, responses=errors(401, 403, 404, 409))
def create_instrument(given: EquipmentInput, caller: Administrator) -> EquipmentAnswer:
    """A new instrument; 409 when its name or serial number is taken."""
    with tenant_work(caller) as session:
        made = equipment.create_equipment(session, caller.tenant_id, caller.actor, given)
        session.refresh(made)
        return EquipmentAnswer.model_validate(made)


@router.get("/instruments/figures", responses=errors(401, 403))
def list_instrument_figures(caller: Reader) -> list[FleetAnswer]:
    """Uptime, queue length, average turnaround, failed and stale counts of every instrument."""
    with tenant_work(caller) as session:
        return [FleetAnswer.model_validate(row) for row in fleet.list_fleet(session, caller.tenant_id)]


@router.get("/instruments/{equipment_id}", responses=errors(401, 403, 404))
def get_instrument(equipment_id: Id, caller: Reader) -> EquipmentAnswer:
    """One instrument."""
    with tenant_work(caller) as session:
        return EquipmentAnswer.model_validate(equipment.get_equipment(session, caller.tenant_id, equipment_id))


@router.put("/instruments/{equipment_id}", responses=errors(401, 403, 404, 409))
def update_instrument(equipment_id: Id, given: EquipmentChange, caller: Keeper) -> EquipmentAnswer:
    """Every field as it shall be; 409 when somebody changed it since `version` was read."""
    with tenant_work(caller) as session:
        row = equipment.update_equipment(session, caller.tenant_id, caller.actor, equipment_id, given)
        return EquipmentAnswer.model_validate(row)


@router.get("/instruments/{equipment_id}/figures", responses=errors(401, 403, 404))
def get_instrument_figures(equipment_id: Id, caller: Reader) -> FleetAnswer:
    """Uptime, queue length, average turnaround, failed and stale counts."""
    with tenant_work(caller) as session:
        equipment.get_equipment(session, caller.tenant_id, equipment_id)
        return FleetAnswer.model_validate(fleet.get_fleet_row(session, caller.tenant_id, equipment_id))


@router.post("/instruments/{equipment_id}/test-connection", responses=errors(401, 403, 404, 409))
def test_instrument_connection(equipment_id: Id, caller: Keeper) -> ConnectionAnswer:
    """Ask the instrument for its status now; what stands in the way is the answer, not an error."""
    return ask_status(caller, equipment_id)


@router.get("/instruments/{equipment_id}/keys", responses=errors(401, 403, 404))
def list_instrument_keys(equipment_id: Id, caller: Administrator) -> list[KeyAnswer]:
    """When each key is valid, newest first; no key is ever shown."""
    with tenant_work(caller) as session:
        rows = equipment.list_keys(session, caller.tenant_id, equipment_id)
        return [KeyAnswer.model_validate(row) for row in rows]


@router.post("/instruments/{equipment_id}/keys", status_code=201, responses=errors(401, 403, 404))
def add_instrument_key(equipment_id: Id, given: KeyInput, caller: Administrator) -> KeyAnswer:
    """A new key, tried first from now on; the ones before stay valid for the overlap."""
    with tenant_work(caller) as session:
        made = equipment.add_key(session, caller.tenant_id, caller.actor, equipment_id, given)
        return KeyAnswer.model_validate(made)


@router.delete("/instruments/{equipment_id}/keys/{key_id}", responses=errors(401, 403, 404, 409))
def end_instrument_key(equipment_id: Id, key_id: Id, caller: Administrator) -> KeyAnswer:
    """End a key at once."""
    with tenant_work(caller) as session:
        row = equipment.end_key(session, caller.tenant_id, caller.actor, equipment_id, key_id)
        return KeyAnswer.model_validate(row)
