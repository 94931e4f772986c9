"""The command line of the simulated analysers."""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from deployments.simulators.instrument import InstrumentFleet
from deployments.simulators.instrument_faults import FAULTS, Value
from deployments.simulators.instrument_options import InstrumentOptions
from deployments.simulators.waiting import announce, wait_for_signal

KEYS_VARIABLE = "SIMULATED_INSTRUMENT_API_KEYS"
PUSH_VARIABLE = "SIMULATED_INSTRUMENT_PUSH_TOKEN"  # the name of a variable, not a token
EXAMPLES = """
examples:
  one analyser on port 8100, with the control panel on 8199:
    python -m deployments.simulators.instrument --port 8100 --control 8199
  twenty slow ones on free ports, their addresses and key in a file:
    python -m deployments.simulators.instrument --instruments 20 --fault latency_ms=50 --ready-file fleet.json
  an analyser that loses the first answer and does not honour idempotency keys:
    python -m deployments.simulators.instrument --ignore-keys --fault timeout_after_accepting:1
"""


def parser() -> argparse.ArgumentParser:
    """Every option, with the faults listed below them."""
    faults = "\n".join(f"  {name:26}{meaning} (default {value})" for name, (meaning, value) in FAULTS.items())
    options = argparse.ArgumentParser(
        prog="python -m deployments.simulators.instrument",
        description="Simulated laboratory analysers speaking the documented HTTP interface.",
        epilog=f"faults:\n{faults}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = InstrumentOptions()
    add = options.add_argument
    add("--instruments", type=int, default=1, metavar="N", help="how many analysers, each on its own port (default 1)")
    add("--host", default=defaults.host, help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=0, help="first port, the others follow; 0 takes free ones (default)")
    add("--name", default=defaults.name, help="the analyser's name; a fleet's are numbered")
    add(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="a valid key, repeatable (rotation); the "
        f"variable {KEYS_VARIABLE} holds several, comma-separated, out of the process list; none: one is made up",
    )
    add("--auth-header", default=defaults.auth_header, metavar="NAME", help="header of the key (default X-API-Key)")
    add("--public-status", action="store_true", help="GET /api/status needs no key")
    add("--ignore-keys", action="store_true", help="take no notice of Idempotency-Key: a second POST queues again")
    add("--returns-sample", action="store_true", help="completed results carry sampleId, which the document has not")
    add("--omits-unfinished", action="store_true", help="leave empty result fields out instead of null")
    add("--queue-seconds", type=float, default=defaults.queue_seconds, help="time until running (default %(default)s)")
    add("--run-seconds", type=float, default=defaults.run_seconds, help="running until completed (default %(default)s)")
    add("--retention-hours", type=float, default=defaults.retention_hours, help="results are kept so long (default 24)")
    add("--certificate", type=Path, metavar="PEM", help="serve HTTPS with this chain")
    add("--private-key", type=Path, metavar="PEM", help="and this key")
    add(
        "--push-url",
        metavar="URL",
        help=f"push finished results there, until a 2xx; bearer token in the variable {PUSH_VARIABLE}",
    )
    add("--push-ca", type=Path, metavar="PEM", help="authority that signed the push URL's certificate")
    add("--fault", action="append", default=[], metavar="NAME[=VALUE][:TIMES]", help="turn a fault on, repeatable")
    add("--control", type=int, metavar="PORT", help="control panel on this loopback port (0: a free one); off without")
    add("--ready-file", type=Path, metavar="FILE", help="write addresses and keys there (mode 0600) once serving")
    return options


def options_of(args: argparse.Namespace) -> InstrumentOptions:
    """The analysers' settings from the command line and the environment."""
    keys = [*args.api_key, *(key for key in os.environ.get(KEYS_VARIABLE, "").split(",") if key)]
    return replace(
        InstrumentOptions(),
        api_keys=tuple(keys),
        honours_keys=not args.ignore_keys,
        push_token=os.environ.get(PUSH_VARIABLE),
        **{
            name: getattr(args, name)
            for name in (
                "host", "port", "name", "auth_header", "public_status", "returns_sample", "omits_unfinished",
                "queue_seconds", "run_seconds", "retention_hours", "certificate", "private_key", "push_url", "push_ca",
            )
        },
    )  # fmt: skip


def parse_fault(text: str) -> tuple[str, Value | None, int | None]:
    """NAME[=VALUE][:TIMES] as (name, value, times); a VALUE is a number or a word. ValueError."""
    name, has_value, rest = text.partition("=")
    if not has_value:
        name, _, times = text.partition(":")
        return name, None, int(times) if times else None
    word, _, times = rest.rpartition(":") if ":" in rest else (rest, "", "")
    try:
        return name, json.loads(word), int(times) if times else None
    except json.JSONDecodeError:
        return name, word, int(times) if times else None


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; a wrong option ends with 2, a port in use with 1."""
    options = parser()
    args = options.parse_args(arguments)
    try:
        fleet = InstrumentFleet(args.instruments, options_of(args), control=args.control)
        for text in args.fault:
            name, value, times = parse_fault(text)
            for instrument in fleet.instruments:
                instrument.faults.set(name, value, times=times)
    except ValueError as wrong:
        options.error(str(wrong))
    except OSError as taken:
        sys.exit(f"cannot listen: {taken}")
    made_up = not (args.api_key or os.environ.get(KEYS_VARIABLE))
    with fleet:
        ready = {
            "instruments": [{"name": one.options.name, "url": one.url} for one in fleet.instruments],
            "control": fleet.control_url,
        }
        keys = {"api_keys": list(fleet.instruments[0].options.api_keys)}
        announce(ready | (keys if made_up else {}), ready | keys, args.ready_file)
        wait_for_signal()
