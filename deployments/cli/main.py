"""The `labwire` command. Another area's commands are one line here: `app.add_typer(orders.app, name="order")`."""

import typer

from deployments.cli import database, demo, devices, hub, imaging, instruments, iot_files, people, upkeep, viewer

app = typer.Typer(
    name="labwire",
    help="The integration hub of a laboratory and clinic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Commands at the top level: up, status, logs, deploy, prefect; demo.
app.add_typer(hub.app)
app.add_typer(demo.app)
app.add_typer(database.app, name="database")
app.add_typer(instruments.app, name="instrument")
app.add_typer(devices.app, name="device")
app.add_typer(imaging.app, name="study")
app.add_typer(viewer.app, name="viewer")
people.register(app)  # tenant, user, token, patient
iot_files.register(app)  # process-iot-data
upkeep.register(app)  # audit, replay

if __name__ == "__main__":
    app()
