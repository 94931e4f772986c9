"""`labwire viewer fetch`: bring the OHIF viewer, where set-up could not or a package was installed."""

from pathlib import Path
from typing import Annotated

import typer

from api.imaging.ohif_files import VERSION, ohif_folder
from deployments.cli.output import answer, one_line_errors
from deployments.viewer.fetch import fetch as fetch_files

app = typer.Typer(help="The OHIF viewer.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Kept a group, though it has one command."""


@app.command()
def fetch(
    archive: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, help="An archive brought by hand (npm pack), not npm's."),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also when it is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")] = False,
) -> None:
    """Fetch the viewer's files by npm, check them, and put them where the hub finds them. Safe to run again."""
    with one_line_errors():
        is_new = fetch_files(archive, again=again)
        answer({"version": VERSION, "folder": ohif_folder(), "fetched": is_new}, as_json=as_json)
