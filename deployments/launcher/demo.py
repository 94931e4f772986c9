"""The stand-ins for outside systems that run beside the hub in the demo, and the settings that point the hub at them.

A new one is a port in `choose_ports`, an entry in `demo_parts`, and what the hub must know of it in `demo_settings`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from deployments.launcher import probes
from deployments.launcher.files import StateFolder
from deployments.launcher.parts import Part, python_module
from deployments.launcher.ports import remembered_port

INSTRUMENTS = 3
KEY_NAME = "LABWIRE_DEMO_INSTRUMENT_KEY"
PORTS_NAME = "LABWIRE_DEMO_INSTRUMENT_PORTS"
CONTROL_NAME = "LABWIRE_DEMO_INSTRUMENT_CONTROL"
PASSWORD_NAME = "LABWIRE_DEMO_PASSWORD"  # noqa: S105 # a setting's name
SEEDED_WITH = (KEY_NAME, PORTS_NAME, PASSWORD_NAME)
NAMES = (
    "LABWIRE_DEMO",
    "LABWIRE_SMTP_HOST",
    "LABWIRE_SMTP_PORT",
    "LABWIRE_MAILBOX_URL",
    KEY_NAME,
    PORTS_NAME,
    CONTROL_NAME,
    PASSWORD_NAME,
)
"""Settings that only the demo writes; without it they are taken out of the environment file again."""


@dataclass(frozen=True)
class DemoPorts:
    """Where the simulated systems listen; the same at every start."""

    smtp: int
    mailbox: int
    instruments: int
    """The first analyser's; the others follow."""
    control: int
    """The analysers' fault switches."""

    @property
    def mailbox_url(self) -> str:
        return f"http://127.0.0.1:{self.mailbox}"


def choose_ports(folder: StateFolder) -> DemoPorts:
    """The ports of the simulated systems."""
    return DemoPorts(
        smtp=remembered_port(folder.ports, "smtp"),
        mailbox=remembered_port(folder.ports, "mailbox"),
        instruments=remembered_port(folder.ports, "instruments", count=INSTRUMENTS),
        control=remembered_port(folder.ports, "instrument-control"),
    )


def demo_settings(ports: DemoPorts, stored: Mapping[str, str]) -> dict[str, str]:
    """What the hub, and the demo's data, must know of them."""
    return {
        "LABWIRE_DEMO": "true",
        "LABWIRE_SMTP_HOST": "127.0.0.1",
        "LABWIRE_SMTP_PORT": str(ports.smtp),
        "LABWIRE_MAILBOX_URL": ports.mailbox_url,
        KEY_NAME: stored.get(KEY_NAME) or secrets.token_urlsafe(24),
        PORTS_NAME: ",".join(str(ports.instruments + number) for number in range(INSTRUMENTS)),
        CONTROL_NAME: f"http://127.0.0.1:{ports.control}",
        PASSWORD_NAME: stored.get(PASSWORD_NAME) or secrets.token_urlsafe(9),
    }


def demo_parts(folder: StateFolder, ports: DemoPorts, settings: Mapping[str, str]) -> list[Part]:
    """Every simulated system: analysers, and the mailbox that all mail goes to; and the demo's data."""
    mailbox = ["--smtp-port", str(ports.smtp), "--http-port", str(ports.mailbox), "--folder"]
    fleet = ["--instruments", str(INSTRUMENTS), "--port", str(ports.instruments), "--control", str(ports.control)]
    return [
        Part(
            name="mailbox",
            command=python_module("deployments.simulators.mailbox", *mailbox, str(folder.root / "mailbox")),
            is_ready=probes.answers(ports.mailbox_url),
            url=ports.mailbox_url,
            port=ports.mailbox,
        ),
        Part(
            name="instruments",
            command=python_module("deployments.simulators.instrument", *fleet, "--name", "Analyser"),
            environment={"SIMULATED_INSTRUMENT_API_KEYS": settings[KEY_NAME]},
            is_ready=probes.accepts(ports.instruments),
            port=ports.instruments,
        ),
        Part(
            name="demo-data",
            command=python_module("deployments.demo.seed"),
            environment={name: settings[name] for name in SEEDED_WITH},
            needs=("migrations",),
            is_step=True,
        ),
    ]
