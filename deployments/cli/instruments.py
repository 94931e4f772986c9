"""`labwire instrument`: instruments from the command line."""

import sys
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from deployments.cli.people import AsJson, TenantSlug, complaints, find_tenant, operator, tell
from models.instruments.inputs import EquipmentInput, KeyInput, PushKeyInput
from models.instruments.stores.departments import list_departments
from models.instruments.stores.equipment import add_key, create_equipment, list_equipment
from models.instruments.stores.push_keys import issue_push_key
from models.instruments.tables import Equipment
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session

app = typer.Typer(help="Instruments.", no_args_is_help=True)


@app.callback()
def instruments() -> None:
    """Instruments."""


@app.command("create")
def create_instrument(  # noqa: PLR0913 - one option for each field of an instrument
    name: Annotated[str, typer.Argument(help="The instrument's name.")],
    tenant: TenantSlug,
    endpoint: Annotated[str | None, typer.Option(help="Its address: https, or http on this machine.")] = None,
    model: Annotated[str, typer.Option(help="Its model.")] = "",
    serial: Annotated[str | None, typer.Option(help="Its serial number.")] = None,
    department: Annotated[str, typer.Option(help="Its department's name.")] = "",
    auth_header: Annotated[str, typer.Option(help="The header its key is sent in.")] = "X-API-Key",
    idempotent: Annotated[bool, typer.Option("--idempotent", help="It honours Idempotency-Key.")] = False,
    auto_fetch: Annotated[bool, typer.Option(help="Results are fetched without being asked for.")] = True,
    timeout_seconds: Annotated[str | None, typer.Option(help="How long it may take to answer.")] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read its key from stdin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create an instrument; its key, if any, is read from standard input and kept encrypted."""
    with complaints():
        given = EquipmentInput.model_validate(
            {
                "name": name,
                "model": model,
                "serial_number": serial,
                "api_endpoint": endpoint,
                "auth_header": auth_header,
                "is_idempotent": idempotent,
                "supports_auto_fetch": auto_fetch,
                "timeout_seconds": timeout_seconds,
            }
        )
        key = KeyInput(key=sys.stdin.readline().rstrip("\r\n")) if key_stdin else None
        tenant_id, actor = find_tenant(tenant), operator()
        with tenant_session(tenant_id) as session:
            if department:
                known = {row.name.lower(): row.id for row in list_departments(session, tenant_id)}
                if department.lower() not in known:
                    raise InvalidError("no department has this name", field="department")
                given = given.model_copy(update={"department_id": known[department.lower()]})
            row = create_equipment(session, tenant_id, actor, given)
            if key is not None:
                add_key(session, tenant_id, actor, row.id, key)
            made: dict[str, Any] = {"id": row.id, "name": row.name, "tenant": tenant, "endpoint": row.api_endpoint}
    tell(made, f"Instrument {made['name']} is there with id {made['id']}.", as_json=as_json)


@app.command("key")
def make_push_key(
    instrument: Annotated[str, typer.Argument(help="The instrument's name, or its id.", metavar="NAME|ID")],
    tenant: TenantSlug,
    days: Annotated[int, typer.Option(help="Days the key is valid.", min=1, max=3650)] = 365,
    overlap_hours: Annotated[
        int, typer.Option(help="Hours the keys before it stay valid; 0 ends them now.", min=0, max=2160)
    ] = 24,
    as_json: AsJson = False,
) -> None:
    """Make a push key: with it the instrument delivers its results unasked. It appears in the answer this once.

    The instrument posts each finished result to the address in the answer, with the header
    `Authorization: Bearer KEY`. A second key takes over from the first: both are valid for the overlap. A key is
    revoked on the instrument's page.
    """
    with complaints():
        given = PushKeyInput(expires_in_days=days, overlap_hours=overlap_hours)
        tenant_id = find_tenant(tenant)
        with tenant_session(tenant_id) as session:
            equipment = find_instrument(session, tenant_id, instrument)
            row, key = issue_push_key(session, tenant_id, operator(), equipment.id, given)
            made = {
                "instrument_id": equipment.id,
                "instrument": equipment.name,
                "tenant": tenant,
                "key_id": row.id,
                "key": key,
                "expires_at": row.expires_at.isoformat(timespec="seconds") if row.expires_at else None,
                "push_url": f"{settings().base_url}/api/v1/instruments/{equipment.id}/results",
            }
    said = (
        f"{made['instrument']} (id {made['instrument_id']}) pushes with this key until {made['expires_at']}; "
        f"it is not shown again:\n\n  {key}\n\nto this address:\n\n  {made['push_url']}\n\n"
        f"Keys made before stay valid for {overlap_hours} h."
    )
    tell(made, said, as_json=as_json)


def find_instrument(session: Session, tenant_id: int, wanted: str) -> Equipment:
    """The instrument of this name, upper and lower case alike, else of this id; NotFoundError."""
    rows = list_equipment(session, tenant_id)
    by_name = [row for row in rows if row.name.lower() == wanted.strip().lower()]
    by_id = [row for row in rows if str(row.id) == wanted.strip()]
    if not (found := by_name or by_id):
        raise NotFoundError("no instrument has this name or id", field="instrument")
    return found[0]
