"""`labwire database create`: roles and databases on a PostgreSQL of your own."""

from typing import Annotated

import typer

from deployments.cli.output import answer, one_line_errors
from models.migrations import outside

app = typer.Typer(help="A PostgreSQL of your own.", no_args_is_help=True)


@app.callback()
def database() -> None:
    """A PostgreSQL of your own."""


@app.command()
def create(
    superuser_url: Annotated[
        str,
        typer.Option(envvar="LABWIRE_SUPERUSER_URL", help="postgresql://postgres:...@host:5432/postgres; not kept."),
    ],
    name: Annotated[str, typer.Option(help="The database's name.")] = "labwire",
    prefect: Annotated[bool, typer.Option(help="A database for the Prefect server's own tables too.")] = True,
    new_passwords: Annotated[
        bool, typer.Option("--new-passwords", help="Roles that exist already get new passwords.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")] = False,
) -> None:
    """Make the hub's roles and databases once, and print the settings that name them (with their passwords)."""
    with one_line_errors():
        urls = outside.create(superuser_url, database=name, with_prefect=prefect, new_passwords=new_passwords)
    settings = {
        "LABWIRE_DATABASE_URL": urls.app,
        "LABWIRE_DATABASE_OWNER_URL": urls.owner,
        "LABWIRE_PREFECT_DATABASE_URL": urls.prefect,
    }
    given = {setting: url for setting, url in settings.items() if url}
    if as_json:
        answer(given, as_json=True)
        return
    for setting, url in given.items():
        print(f"{setting}='{url}'")
