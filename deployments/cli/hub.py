"""The commands that run the hub and look at it: up, demo, status, logs, deploy, prefect."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.output import one_line_errors, say
from deployments.launcher import logs as log_files
from deployments.launcher.environment import part_environment
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import ROOT
from deployments.launcher.status import present
from deployments.launcher.up import Choices, process_settings, run
from models.kernel.errors import ConfigError
from models.kernel.settings import read_settings

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for scripts.")]


@app.command()
def up(
    demo: Annotated[
        bool | None,
        typer.Option(help="Demo data and simulated systems; by default only with the embedded database."),
    ] = None,
    throw_away: Annotated[bool, typer.Option("--throw-away", help="Remove the state folder at the end.")] = False,
) -> None:
    """Start the whole hub and stay until Ctrl-C or SIGTERM. Settings come from LABWIRE_* variables."""
    with one_line_errors():
        code = run(say, Choices(is_demo=demo, is_throw_away=throw_away))
    raise typer.Exit(code)


@app.command()
def status(as_json: Json = False) -> None:
    """Say what runs where: addresses, ports, processes, logs, readiness. Ends with 0 only when all is ready."""
    with one_line_errors():
        state = present(_folder())
    if as_json:
        print(json.dumps(state, indent=2))
    else:
        _print_status(state)
    raise typer.Exit(0 if state["ready"] else 1)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A part's name as `labwire status` shows it.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay and print what is added.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines from the end.")] = 100,
) -> None:
    """Print the end of a part's log."""
    with one_line_errors():
        folder = _folder()
        path = log_files.log_file(folder.logs, name)
        if not path.exists():
            known = ", ".join(sorted(file.stem for file in folder.logs.glob("*.log"))) or "none yet"
            raise ConfigError(f"no log of a part {name!r}; there are: {known}")
    for line in log_files.last_lines(path, lines):
        print(line)
    if follow:
        try:
            for text in log_files.follow(path):
                sys.stdout.write(text)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


@app.command()
def deploy(force: Annotated[bool, typer.Option(help="Also when nothing seems changed.")] = True) -> None:
    """Apply prefect.yaml, the work pool and the automations to the running Prefect server."""
    arguments = ["--force"] if force else []
    _run_in_hub([sys.executable, "-m", "deployments.worker.register", *arguments])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def prefect(context: typer.Context) -> None:
    """Prefect's own command, pointed at this hub's server: `labwire prefect flow-run ls`."""
    _run_in_hub([sys.executable, "-m", "prefect", *context.args])


def _folder() -> StateFolder:
    return StateFolder(process_settings().state_dir)


def _run_in_hub(line: list[str]) -> None:
    """Run a command with the environment a part of this hub would have; ends with its code."""
    with one_line_errors():
        folder = _folder()
        if not folder.environment.exists():
            raise ConfigError(f"{folder.root} is no hub's state folder yet: run `labwire up` first")
        options = read_settings(folder.root)
        auth = options.prefect_auth_string.get_secret_value() if options.prefect_auth_string else ""
        environment = part_environment(folder, options, {}, auth) | {"PREFECT_CLI_COLORS": "true"}
    done = subprocess.run(line, env={**os.environ, **environment}, cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)


def _print_status(state: dict[str, Any]) -> None:
    print(f"state folder  {state['state_dir']}")
    if not state["running"]:
        print("labwire is not running")
        return
    print(f"launcher      process {state['pid']}, {state['state']}, since {state['started_at']}\n")
    print(f"{'part':<14}{'ready':<7}{'state':<12}{'process':<9}{'port':<7}{'restarts':<10}log")
    for part in state["parts"]:
        ready = "yes" if part["ready"] else "NO"
        print(
            f"{part['name']:<14}{ready:<7}{part['state']:<12}{part['pid'] or '':<9}{part['port'] or '':<7}"
            f"{part['restarts'] or '':<10}{_short(part['log'])}"
        )
    print()
    for name, url in state["urls"].items():
        print(f"{name:<14}{url}")


def _short(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
