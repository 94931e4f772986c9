"""Keeps the parts running: starts them in order, restarts what dies, stops them in the opposite order."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deployments.launcher import logs
from deployments.launcher.parts import Part, PartState, in_order
from deployments.launcher.process import SESSION_VARIABLE, child_setup, end_session
from models.kernel.errors import ConfigError

PAUSES_SECONDS = (0.5, 1, 2, 4, 8, 15, 30)
STEADY_SECONDS = 60
"""After running this long a part's next death counts as its first."""
EARLY_DEATHS = 4
"""A part that dies this often before it was ever ready ends the start."""
PROBE_PAUSE_SECONDS = 0.15
ROTATION_SECONDS = 10
GUARD = Path(__file__).parent / "guard.py"


class StartError(Exception):
    """The hub did not come up; the message names the part and its log."""


class Running:
    """A started process and the event of its end."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen = popen
        self.ended = asyncio.Event()


class Supervisor:
    """Runs a table of parts. `changed` is called with every state, whenever one changes."""

    def __init__(
        self, parts: list[Part], *, environment: dict[str, str], log_folder: Path, changed: Callable[[], None]
    ) -> None:
        self.parts = in_order(parts)
        self.session = environment[SESSION_VARIABLE]
        self.states = {
            part.name: PartState(
                name=part.name,
                is_step=part.is_step,
                url=part.url,
                port=part.port,
                log=str(logs.log_file(log_folder, part.name)),
            )
            for part in self.parts
        }
        self.stopping = asyncio.Event()
        self._environment = environment
        self._changed = changed
        self._log_folder = log_folder
        self._ready = {part.name: asyncio.Event() for part in self.parts}
        self._running: dict[str, Running] = {}
        self._hurry = asyncio.Event()
        self._started = asyncio.Event()
        """No more waiting at the start: all are ready, or one has failed, or we were told to stop."""
        self._is_told = True
        self._failure: Exception | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._guard: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return when every part is ready, or when told to stop; StartError when one cannot be."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._on_child)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self._start_guard()
        self._tasks = [asyncio.create_task(self._keep(part)) for part in self.parts]
        self._tasks.append(asyncio.create_task(self._rotate_logs()))
        for task in self._tasks:
            task.add_done_callback(self._task_ended)
        all_ready = asyncio.create_task(self._all_ready())
        all_ready.add_done_callback(lambda _: self._started.set())
        await self._started.wait()
        all_ready.cancel()
        if self._failure is not None and not self.stopping.is_set():
            raise self._failure

    async def stop(self) -> None:
        """End every part, the last started first, then whatever is left of the session, then the guard."""
        self.stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for part in reversed(self.parts):
            await self._stop_part(part)
        await self._end_stragglers()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            await asyncio.to_thread(self._guard.wait)

    async def _keep(self, part: Part) -> None:
        state, ready = self.states[part.name], self._ready[part.name]
        for need in part.needs:
            await self._ready[need].wait()
        deaths = 0
        while True:
            began = time.monotonic()
            code = await self._live(part)
            if part.is_step:
                self._step_ended(part, code)
                return
            deaths = 1 if time.monotonic() - began > STEADY_SECONDS else deaths + 1
            if not ready.is_set() and deaths >= EARLY_DEATHS:
                self._fail(part, f"ended with {code} at every start")
                return
            state.restarts += 1
            self._set(part, "restarting")
            await asyncio.sleep(PAUSES_SECONDS[min(deaths, len(PAUSES_SECONDS)) - 1])

    async def _live(self, part: Part) -> int | None:
        """One life of the part: its exit code, or None where what was ready before cannot be started just now."""
        try:
            running = self._spawn(part)
        except (OSError, subprocess.SubprocessError, ConfigError) as error:
            if not self._ready[part.name].is_set():
                raise
            logs.append(Path(self.states[part.name].log), f"labwire: {part.name} cannot be started: {error}")
            return None
        watch = asyncio.create_task(self._watch(part, datetime.now(UTC)))
        watch.add_done_callback(self._task_ended)  # a probe that raises must not make the start wait for ever
        try:
            await running.ended.wait()
        finally:
            watch.cancel()
        self.states[part.name].pid = None
        return int(running.popen.returncode)

    def _step_ended(self, part: Part, code: int | None) -> None:
        if code:
            self._fail(part, f"failed with {code}")
            return
        self._set(part, "done")
        self._ready[part.name].set()

    def _spawn(self, part: Part) -> Running:
        """Start the part's process. In the main thread and without waiting: it is bound to this thread's life."""
        self._set(part, "starting")
        if part.before is not None:
            part.before()
        log = logs.open_log(Path(self.states[part.name].log))
        try:
            popen = subprocess.Popen(
                part.command,
                env=part.environment if part.is_environment_whole else self._environment | part.environment,
                cwd=part.working_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=part.pass_fds,
                preexec_fn=part.child_setup or child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
            )
        finally:
            os.close(log)
        running = self._running[part.name] = Running(popen)
        self.states[part.name].pid = popen.pid
        self._tell()
        return running

    async def _watch(self, part: Part, since: datetime) -> None:
        if part.is_step:
            return
        began = time.monotonic()
        while not await part.is_ready(since):
            if time.monotonic() - began > part.ready_seconds and not self._ready[part.name].is_set():
                self._fail(part, f"was not ready after {part.ready_seconds:.0f} s")
                return
            await asyncio.sleep(PROBE_PAUSE_SECONDS)
        self._set(part, "ready")
        self._ready[part.name].set()

    async def _stop_part(self, part: Part) -> None:
        running = self._running.get(part.name)
        if running is not None and not running.ended.is_set():
            running.popen.send_signal(part.stop_signal)
            hurry = asyncio.create_task(self._hurry.wait())
            ended = asyncio.create_task(running.ended.wait())
            await asyncio.wait({hurry, ended}, timeout=part.stop_seconds, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not running.ended.is_set():
                os.killpg(running.popen.pid, signal.SIGKILL)
                await ended
        self.states[part.name].pid = None
        if self.states[part.name].state not in ("done", "failed"):
            self._set(part, "stopped")
        if (
            part.name == "worker"
        ):  # its flow runs' processes outlive it; the API and the database are still there for them
            await self._end_stragglers()

    async def _end_stragglers(self) -> None:
        known = [running.popen.pid for running in self._running.values() if not running.ended.is_set()]
        grace = 0 if self._hurry.is_set() else 5
        await asyncio.to_thread(end_session, self.session, spare=known, grace_seconds=grace)

    async def _all_ready(self) -> None:
        for event in self._ready.values():
            await event.wait()

    async def _rotate_logs(self) -> None:
        while True:
            for path in self._log_folder.glob("*.log"):  # the flow runs' too
                logs.rotate(path)
            if not self._is_told:
                self._tell()
            await asyncio.sleep(ROTATION_SECONDS)

    def _start_guard(self) -> None:
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), self.session],
            stdin=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def _on_child(self) -> None:
        for running in self._running.values():
            if not running.ended.is_set() and running.popen.poll() is not None:
                running.ended.set()
        if self._guard is not None and not self.stopping.is_set() and self._guard.poll() is not None:
            self._start_guard()

    def _on_signal(self) -> None:
        if self.stopping.is_set():
            self._hurry.set()
        self.stopping.set()
        self._started.set()

    def _set(self, part: Part, state: str) -> None:
        self.states[part.name].state = state
        self._tell()

    def _tell(self) -> None:
        """Say what changed. Once all runs, a disk too full to write it down must not end the watching: told later."""
        try:
            self._changed()
        except OSError:
            if not self._started.is_set():
                raise
            self._is_told = False
        else:
            self._is_told = True

    def _fail(self, part: Part, reason: str) -> None:
        self._set(part, "failed")
        log = Path(self.states[part.name].log)
        tail = "".join(f"\n    {line}" for line in logs.last_lines(log, 15))
        self._give_up(StartError(f"{part.name} {reason}; the end of {log}:{tail}"))

    def _give_up(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._started.set()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._give_up(error if isinstance(error, Exception) else StartError(repr(error)))
