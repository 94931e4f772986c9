"""How every command speaks: text for people, JSON for scripts, one line for an error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from models.kernel.errors import LabwireError


def say(line: str) -> None:
    """One line for people, at once."""
    print(line, flush=True)


def answer(content: dict[str, Any], *, as_json: bool) -> None:
    """A command's result: JSON on one line, or one `name: value` line each."""
    if as_json:
        print(json.dumps(content, default=str))
        return
    for name, value in content.items():
        print(f"{name}: {value}")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Our own errors end the command with code 1 and one line on standard error."""
    try:
        yield
    except LabwireError as error:
        typer.echo(f"labwire: {error}", err=True)
        raise typer.Exit(1) from None
