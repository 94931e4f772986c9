"""What a part is: a process to be kept running, or a step to be done once, and how to tell that it is ready."""

import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
"""The folder that holds prefect.yaml."""

Probe = Callable[[datetime], Awaitable[bool]]
"""Asked with the moment the process was started."""


async def always(since: datetime) -> bool:
    """The probe of a part that is ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process. `needs` names the parts that must be ready before its first start; `url` is for people."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    is_environment_whole: bool = False
    """Nothing is inherited: for a program that has no business with our settings."""
    needs: tuple[str, ...] = ()
    is_ready: Probe = always
    is_step: bool = False
    """Done once: ready when it has ended with 0, and a failure ends the start."""
    url: str = ""
    port: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10
    ready_seconds: float = 60
    before: Callable[[], None] | None = None
    """Called before each start, in the launcher."""
    child_setup: Callable[[], None] | None = None
    """The `preexec_fn`; None for the usual one."""
    pass_fds: tuple[int, ...] = ()
    working_dir: Path = ROOT


@dataclass
class PartState:
    """What the launcher knows of a part at this moment; written to the status file."""

    name: str
    pid: int | None = None
    state: str = "waiting"
    """waiting, starting, ready, restarting, done, failed or stopped"""
    is_step: bool = False
    restarts: int = 0
    url: str = ""
    port: int | None = None
    log: str = ""


def in_order(parts: list[Part]) -> list[Part]:
    """The parts with every need before who needs it; ValueError when a need is unknown or they go in a circle."""
    placed: list[Part] = []
    names: set[str] = set()
    waiting = list(parts)
    while waiting:
        ready = [part for part in waiting if set(part.needs) <= names]
        if not ready:
            raise ValueError(f"needs that cannot be met: {', '.join(part.name for part in waiting)}")
        placed += ready
        names |= {part.name for part in ready}
        waiting = [part for part in waiting if part.name not in names]
    return placed


def python_module(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module with the launcher's own interpreter."""
    return [sys.executable, "-m", module, *arguments]
