"""`labwire device`: devices and their keys from the command line."""

from typing import Annotated

import typer

from deployments.cli.people import AsJson, TenantSlug, complaints, find_tenant, operator, tell
from models.kernel.errors import NotFoundError
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.stores.patients import find_by_code
from models.vitals.schemas import DeviceIn, DeviceKeyIn, WearerIn
from models.vitals.stores.devices import assign_patient, create_device, find_device
from models.vitals.stores.keys import issue_key

app = typer.Typer(help="Devices that send vital signs.", no_args_is_help=True)


@app.callback()
def devices() -> None:
    """Devices that send vital signs."""


@app.command("create")
def create(  # noqa: PLR0913 - one option for each field of a device
    device_id: Annotated[str, typer.Argument(help="What the device calls itself.", metavar="DEVICE_ID")],
    tenant: TenantSlug,
    patient: Annotated[str, typer.Option(help="The code of the patient whose device it is.")] = "",
    name: Annotated[str, typer.Option(help="Its name; left out: what it calls itself.")] = "",
    kind: Annotated[str, typer.Option("--type", help="What it is, such as Pulse Oximeter.")] = "Other",
    time_zone: Annotated[str, typer.Option(help="Its time zone, for timestamps without an offset.")] = "",
    silence_minutes: Annotated[
        int | None, typer.Option(help="Tell people when nothing came for so long.", min=1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a device, and say whose it is from now on."""
    with complaints():
        given = DeviceIn(
            device_id=device_id,
            name=name or device_id,
            device_type=kind,
            time_zone=time_zone,
            silence_minutes=silence_minutes,
        )
        tenant_id, actor = find_tenant(tenant), operator()
        with tenant_session(tenant_id) as session:
            row = create_device(session, tenant_id, actor, given)
            if patient:
                wearer = find_by_code(session, tenant_id, patient)
                if wearer is None:
                    raise NotFoundError("no patient has this code", field="patient")
                assign_patient(session, tenant_id, actor, row.id, WearerIn(patient_id=wearer.id))
            made = {"id": row.id, "device_id": row.code, "tenant": tenant, "patient": patient or None}
    whose = f"patient {patient}'s" if patient else "nobody's yet"
    tell(made, f"Device {made['device_id']} is there with id {made['id']}; it is {whose}.", as_json=as_json)


@app.command("key")
def make_key(
    device_id: Annotated[str, typer.Argument(help="What the device calls itself.", metavar="DEVICE_ID")],
    tenant: TenantSlug,
    days: Annotated[int, typer.Option(help="Days the key is valid.", min=1, max=3650)] = 365,
    may_read_patient: Annotated[
        bool, typer.Option("--may-read-patient", help="The status answer names the patient.")
    ] = False,
    overlap_hours: Annotated[
        int | None, typer.Option(help="Hours the keys before it stay valid; left out: they stay.", min=0, max=2160)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a device. It appears in the answer this once."""
    with complaints():
        given = DeviceKeyIn(expires_in_days=days, can_read_patient=may_read_patient, overlap_hours=overlap_hours)
        tenant_id = find_tenant(tenant)
        with tenant_session(tenant_id) as session:
            device = find_device(session, tenant_id, device_id)
            row, key = issue_key(session, tenant_id, operator(), device.id, given)
            made = {
                "device_id": device.code,
                "tenant": tenant,
                "key_id": row.id,
                "key": key,
                "expires_at": row.expires_at.isoformat(timespec="seconds") if row.expires_at else None,
                "url": f"{settings().base_url}/api/iot/vitals/",
            }
    said = (
        f"Device {made['device_id']} sends with this key until {made['expires_at']}; it is not shown again:\n\n"
        f"  {key}\n\nto this address:\n\n  {made['url']}"
    )
    tell(made, said, as_json=as_json)
