"""The demo's laboratories, people, instruments and first orders: `python -m deployments.demo.seed`, safe to repeat.

What is already there is left alone, but for the instruments' addresses, which follow the simulated ones.
"""

import json
import os
from pathlib import Path
from typing import Any

from deployments.demo.seed_imaging import seed_imaging
from deployments.demo.seed_vitals import seed_vitals
from models.instruments.inputs import DepartmentInput, EntryInput, EquipmentChange, EquipmentInput, KeyInput, OrderInput
from models.instruments.stores.catalogue_import import apply_catalogue, preview_catalogue
from models.instruments.stores.departments import create_department
from models.instruments.stores.entry import enter_result
from models.instruments.stores.equipment import add_key, create_equipment, list_equipment, update_equipment
from models.instruments.stores.orders import order_many
from models.kernel.audit import SYSTEM, Actor
from models.kernel.errors import ConfigError
from models.kernel.settings import settings
from models.kernel.tenancy import known_tenants, owner_session, tenant_session
from models.people.passwords import hash_password
from models.people.schemas import PatientIn, TenantIn, UserIn
from models.people.stores.accounts import set_password
from models.people.stores.patients import create_patient
from models.people.stores.tenants import create_tenant
from models.people.stores.users import create_user, find_user

FOLDER = Path(__file__).parent
ADDRESS = "{name}@{slug}.example"
MONITORED = "PAT-006"


def main() -> None:
    """Bring the demo's data to where a newcomer can click on it; ConfigError outside the demo."""
    if not settings().is_demo:
        raise ConfigError("demo data is only for a hub started with --demo or with the embedded database")
    data = json.loads((FOLDER / "laboratory.json").read_text())
    there = {tenant.slug: tenant.id for tenant in known_tenants()}
    for laboratory in data["laboratories"]:
        if laboratory["slug"] not in there:
            _create_laboratory(data, laboratory)
    _follow_addresses(known_tenants("lagoon")[0].id)


def instrument_addresses() -> list[str]:
    """Where the simulated analysers listen, in the order of the equipment."""
    ports = os.environ.get("LABWIRE_DEMO_INSTRUMENT_PORTS", "")
    return [f"http://127.0.0.1:{port}" for port in ports.split(",") if port]


def _create_laboratory(data: dict[str, Any], laboratory: dict[str, str]) -> None:
    password_hash = hash_password(os.environ["LABWIRE_DEMO_PASSWORD"])
    with owner_session() as session:
        tenant_id = create_tenant(session, SYSTEM, TenantIn(**laboratory)).id
    is_main = laboratory["slug"] == data["laboratories"][0]["slug"]
    with tenant_session(tenant_id) as session:
        for user in data["users"]:
            address = ADDRESS.format(name=user["email"], slug=laboratory["slug"])
            made = create_user(session, tenant_id, SYSTEM, UserIn(**user | {"email": address}))
            set_password(session, tenant_id, SYSTEM, made.id, password_hash=password_hash)
        for patient in data["patients"] if is_main else data["patients"][:1]:
            create_patient(session, tenant_id, SYSTEM, PatientIn.model_validate(patient))
    if is_main:
        _equip(data, tenant_id, laboratory["slug"])
        _order(data, tenant_id, laboratory["slug"])
        with tenant_session(tenant_id) as session:
            nurse = ADDRESS.format(name="nurse", slug=laboratory["slug"])
            seed_vitals(session, tenant_id, patient_code=MONITORED, nurse=nurse)
        addresses = {
            role: ADDRESS.format(name=name, slug=laboratory["slug"])
            for role, name in (("doctor", "doctor"), ("technician", "radiology"))
        }
        seed_imaging(tenant_id, laboratory["slug"], **addresses)


def _equip(data: dict[str, Any], tenant_id: int, slug: str) -> None:
    """Departments, instruments with their key, and the catalogue."""
    with tenant_session(tenant_id) as session:
        departments = {}
        for name in data["departments"]:
            email = ADDRESS.format(name=name.lower().replace(" ", "-"), slug=slug)
            departments[name] = create_department(
                session, tenant_id, SYSTEM, DepartmentInput(name=name, email=email)
            ).id
        for equipment, address in zip(data["equipment"], instrument_addresses(), strict=False):
            given = equipment | {"department_id": departments[equipment["department"]], "api_endpoint": address}
            del given["department"]
            made = create_equipment(session, tenant_id, SYSTEM, EquipmentInput(**given, supports_auto_fetch=True))
            key = KeyInput(key=os.environ["LABWIRE_DEMO_INSTRUMENT_KEY"])
            add_key(session, tenant_id, SYSTEM, made.id, key)
        content = (FOLDER / "catalogue.json").read_bytes()
        preview = preview_catalogue(session, tenant_id, content, "json")
        apply_catalogue(session, tenant_id, SYSTEM, content, "json", token=preview.token)


def _order(data: dict[str, Any], tenant_id: int, slug: str) -> None:
    """Orders on their way to the instruments, and some values entered by hand that wait for verification."""
    with tenant_session(tenant_id) as session:
        technician = find_user(session, tenant_id, ADDRESS.format(name="technician", slug=slug))
        if technician is None:
            raise ConfigError("the demo's technician is missing")
        actor = Actor("user", str(technician.id), technician.email)
        order_many(session, tenant_id, actor, [_order_input(order) for order in data["orders"]])
        entered = order_many(session, tenant_id, actor, [_order_input(entry) for entry in data["entries"]])
        for assignment_id, entry in zip(entered, data["entries"], strict=True):
            enter_result(session, tenant_id, actor, assignment_id, EntryInput(value=entry["value"], unit=entry["unit"]))


def _order_input(order: dict[str, str]) -> OrderInput:
    return OrderInput.model_validate(
        {
            "patient_code": order["patient"],
            "test_code": order.get("test"),
            "panel_code": order.get("panel"),
            "sample_id": order["sample"],
            "priority": order.get("priority", "routine"),
        }
    )


def _follow_addresses(tenant_id: int) -> None:
    """Point the demo's instruments to where the simulated ones listen now."""
    with tenant_session(tenant_id) as session:
        oldest_first = sorted(list_equipment(session, tenant_id), key=lambda equipment: equipment.id)
        for equipment, address in zip(oldest_first, instrument_addresses(), strict=False):
            if equipment.api_endpoint and equipment.api_endpoint != address:
                kept = {name: getattr(equipment, name) for name in EquipmentInput.model_fields}
                change = EquipmentChange(**kept | {"api_endpoint": address}, version=equipment.version)
                update_equipment(session, tenant_id, SYSTEM, equipment.id, change)


if __name__ == "__main__":
    main()
