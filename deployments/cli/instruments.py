"""`labwire instrument`: instruments from the command line."""

import sys
from typing import Annotated, Any

import typer

from deployments.cli.people import AsJson, TenantSlug, complaints, find_tenant, operator, tell
from models.instruments.inputs import EquipmentInput, KeyInput
from models.instruments.stores.departments import list_departments
from models.instruments.stores.equipment import add_key, create_equipment
from models.kernel.errors import InvalidError
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
