"""`labwire tenant | user | token | patient`: people and laboratories from the command line.

Each command writes what it made to standard output, with --json as one JSON object; a token or link appears once.
"""

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from models.kernel.audit import Actor
from models.kernel.errors import LabwireError, NotFoundError, RefusedError
from models.kernel.tenancy import owner_session, registry_session, tenant_session
from models.people.passwords import hash_password
from models.people.roles import GRANTABLE, ROLES
from models.people.rules import refuse_weak_password
from models.people.schemas import NewPassword, PatientIn, TenantIn, TokenIn, UserIn
from models.people.stores import accounts, patients, tenants, tokens, users
from models.people.stores.logins import candidates

tenant_app = typer.Typer(help="Laboratories and clinics.", no_args_is_help=True)
user_app = typer.Typer(help="People who sign in.", no_args_is_help=True)
token_app = typer.Typer(help="API tokens.", no_args_is_help=True)
patient_app = typer.Typer(help="Patients.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Answer with one JSON object.")]
TenantSlug = Annotated[str, typer.Option("--tenant", "-t", help="The laboratory's short name (slug).")]


def register(app: typer.Typer) -> None:
    """Add these commands to the `labwire` command."""
    for name, part in (("tenant", tenant_app), ("user", user_app), ("token", token_app), ("patient", patient_app)):
        app.add_typer(part, name=name)


@tenant_app.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="The laboratory's name.")],
    slug: Annotated[str, typer.Option(help="Its short name; made from the name when left out.")] = "",
    time_zone: Annotated[str, typer.Option(help="Its time zone, an IANA name.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Create a laboratory."""
    with complaints():
        given = TenantIn(name=name, slug=slug or tenants.slug_of(name), time_zone=time_zone)
        with owner_session() as session:
            tenant = tenants.create_tenant(session, operator(), given)
            made = {"id": tenant.id, "slug": tenant.slug, "name": tenant.name, "time_zone": tenant.time_zone}
    tell(made, f"Laboratory {made['name']} is there; its short name is {made['slug']}.", as_json=as_json)


@user_app.command("create")
def create_user(
    email: Annotated[str, typer.Argument(help="The address they sign in with.")],
    tenant: TenantSlug,
    role: Annotated[list[str], typer.Option(help=f"One of {', '.join(ROLES)}; may be given several times.")],
    name: Annotated[str, typer.Option(help="Their name; the address when left out.")] = "",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a user; without a password, the answer holds a one-time link to set one."""
    with complaints():
        given = UserIn.model_validate({"email": email, "name": name or email, "roles": role})
        hashed = hash_password(password_from_stdin(given.email)) if password_stdin else None
        tenant_id = find_tenant(tenant)
        with tenant_session(tenant_id) as session:
            user = users.create_user(session, tenant_id, operator(), given)
            made: dict[str, Any] = {"id": user.id, "email": user.email, "tenant": tenant, "roles": user.roles}
            if hashed is not None:
                accounts.set_password(session, tenant_id, operator(), user.id, password_hash=hashed)
            else:
                minutes = accounts.INVITATION_MINUTES
                made["password_link"] = accounts.make_link(session, tenant_id, user.id, minutes=minutes)
    said = f"{made['email']} is {', '.join(made['roles'])} at {tenant}."
    if "password_link" in made:
        said += f"\nTo set a password, once, within three days: {made['password_link']}"
    tell(made, said, as_json=as_json)


@token_app.command("create")
def create_token(
    email: Annotated[str, typer.Argument(help="The user the token speaks for.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Needed where several laboratories know them.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help=f"read and write, or: {', '.join(GRANTABLE)}.")] = None,
    days: Annotated[int, typer.Option(help="Days it is valid.", min=1, max=3650)] = 365,
    name: Annotated[str, typer.Option(help="What it is for.")] = "command line",
    as_json: AsJson = False,
) -> None:
    """Create an API token; it appears in the answer this once. It can do no more than the user's roles."""
    with complaints():
        given = TokenIn.model_validate({"name": name, "scopes": scope or ["read", "write"], "expires_in_days": days})
        tenant_id, user_id = find_user(email, tenant)
        with tenant_session(tenant_id) as session:
            row, text = tokens.issue_token(session, tenant_id, operator(), user_id, given)
            expires_at = row.expires_at.isoformat(timespec="seconds") if row.expires_at else None
            made = {"id": row.id, "token": text, "scopes": row.scopes, "expires_at": expires_at}
    tell(made, text, as_json=as_json)


@patient_app.command("create")
def create_patient(  # noqa: PLR0913 - one option for each field of a patient
    code: Annotated[str, typer.Argument(help="The laboratory's code for them.")],
    tenant: TenantSlug,
    family_name: Annotated[str, typer.Option(help="Family name.")] = "",
    given_names: Annotated[str, typer.Option(help="Given names.")] = "",
    sex: Annotated[str, typer.Option(help="female, male, other or unknown.")] = "unknown",
    birth_date: Annotated[str | None, typer.Option(help="Like 1980-12-31.")] = None,
    email: Annotated[str | None, typer.Option(help="Where notices go.")] = None,
    report_mailed: Annotated[bool, typer.Option("--report-mailed", help="Mail a notice of each result.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a patient."""
    with complaints():
        given = PatientIn.model_validate(
            {
                "code": code,
                "family_name": family_name,
                "given_names": given_names,
                "sex": sex,
                "birth_date": birth_date,
                "email": email,
                "is_report_mailed": report_mailed,
            }
        )
        tenant_id = find_tenant(tenant)
        with tenant_session(tenant_id) as session:
            patient = patients.create_patient(session, tenant_id, operator(), given)
            made = {"id": patient.id, "code": patient.code, "tenant": tenant}
    tell(made, f"Patient {made['code']} is registered with id {made['id']}.", as_json=as_json)


def operator() -> Actor:
    """Whoever is at the command line, as the audit trail names them."""
    return Actor("system", "command-line", f"{getpass.getuser()} at the command line")


def password_from_stdin(email: str) -> str:
    """The first line of standard input, when it will do as a password."""
    given = NewPassword.model_validate({"password": sys.stdin.readline().rstrip("\r\n")})
    password = given.password.get_secret_value()
    refuse_weak_password(password, email=email)
    return password


def find_tenant(slug: str) -> int:
    """The id of the laboratory with this short name."""
    with registry_session() as session:
        return tenants.tenant_id_of(session, slug)


def find_user(email: str, tenant: str) -> tuple[int, int]:
    """Tenant and id of the user with this address."""
    with registry_session() as session:
        found = candidates(session, email, tenant)
    if not found:
        raise NotFoundError("no user with this address", field="email")
    if len(found) > 1:
        raise RefusedError(f"known at {', '.join(one.tenant_slug for one in found)}; choose one", field="tenant")
    return found[0].tenant_id, found[0].user_id


@contextmanager
def complaints() -> Iterator[None]:
    """Say on standard error, in one line each, what is wrong, and end with 1."""
    try:
        yield
    except ValidationError as error:
        fail(*(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()))
    except LabwireError as error:
        field = getattr(error, "field", None)
        fail(f"{field}: {error}" if field else str(error))


def fail(*lines: str) -> NoReturn:
    """Print the complaints and stop."""
    for line in lines:
        typer.echo(f"labwire: {line}", err=True)
    raise typer.Exit(1)


def tell(made: dict[str, Any], said: str, *, as_json: bool) -> None:
    """Answer, for a program or for a person."""
    typer.echo(json.dumps(made) if as_json else said)
