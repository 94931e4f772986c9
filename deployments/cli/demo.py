"""The command `labwire demo`."""

from typing import Annotated

import typer

from deployments.cli.output import one_line_errors, say
from deployments.demo.run import run_demo

app = typer.Typer()


@app.command()
def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep it running afterwards, to click on, until Ctrl-C.")
    ] = False,
) -> None:
    """Run the hub's work in a throw-away folder on free ports, print what came of it, and clean up."""
    with one_line_errors():
        is_right = run_demo(say, stay=stay)
    raise typer.Exit(0 if is_right else 1)
