"""`labwire process-iot-data`: the files of the inbox from a shell or cron, without Prefect's server."""

from typing import Annotated, Any

import typer

from deployments.cli.people import AsJson, complaints, operator, tell


def register(app: typer.Typer) -> None:
    """Add the command to the `labwire` command."""
    app.command("process-iot-data")(process_iot_data)


def process_iot_data(
    cleanup: Annotated[bool, typer.Option("--cleanup", help="Remove old files from the archive too.")] = False,
    cleanup_days: Annotated[int, typer.Option(help="Days that archived files are kept.", min=1)] = 90,
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="One laboratory alone, by its short name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Store the vital signs in the inbox's files, once. Ends with 1 when a file needs a person."""
    with complaints():
        from tasks.vitals.archives import clean_archive  # imported here: they take seconds
        from tasks.vitals.ingest import ingest

        actor = operator()
        tally = ingest(tenant, actor).tally
        done: dict[str, Any] = dict(tally.counts + tally.problems)
        said = f"Files: {tally.message}"
        removed = clean_archive(actor, days=cleanup_days) if cleanup else None
    if removed is not None:
        done["archived files removed"] = removed.counts["files"]
        said += f"\nArchive older than {cleanup_days} days: {removed.message}"
    is_well = not tally.problems and (removed is None or not removed.problems)
    tell(
        {"success": is_well, **{name.replace(" ", "_"): number for name, number in done.items()}}, said, as_json=as_json
    )
    if not is_well:
        raise typer.Exit(1)
