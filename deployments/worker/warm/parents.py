"""The warm parents a worker keeps: one for each set of modules, started when first needed, renewed when stale."""

import array
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from prefect.settings import get_current_settings

from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup
from deployments.worker.warm.freshness import fingerprint
from deployments.worker.warm.process import WATCHED, RunProcess

COMMON = ("sqlalchemy.orm", "sqlalchemy.dialects.postgresql.psycopg2", "httpx")
PRELOADS: dict[str, tuple[str, ...]] = {"flows": COMMON, "great_expectations": (*COMMON, "great_expectations")}
LONGEST_ANSWER = 4096
SINGLE_THREADED = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
READY_SECONDS = 120
ANSWER_SECONDS = 30
ATTEMPTS = 3
"""Parents tried for one run: one may die, or become stale, between the question and the answer."""


class ParentGoneError(Exception):
    """The parent ended, said something else than expected, or nothing in time."""


class Parent:
    """One warm process and the socket to it; one order at a time."""

    def __init__(self, modules: tuple[str, ...], mark: int, environment: Mapping[str, str]) -> None:
        self.mark = mark
        self._lock = asyncio.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        line = [sys.executable, "-m", "deployments.worker.warm.parent", str(theirs.fileno()), *modules]
        self.process = subprocess.Popen(
            line,
            cwd=ROOT,
            env={**environment, **SINGLE_THREADED},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            preexec_fn=child_setup(signal.SIGKILL),  # noqa: PLW1509 # calls into libc prepared beforehand
        )
        WATCHED.add(self.process.pid)
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    async def wait_until_ready(self) -> None:
        """ParentGoneError when it ends first."""
        said = await self._hear(READY_SECONDS)
        if not said.get("ready"):
            raise ParentGoneError(str(said))

    async def start(self, order: Mapping[str, Any], output: tuple[int, int]) -> RunProcess:
        """Fork one run; ParentGoneError when no answer came, and then there is no run either.

        The fork waits at a gate, a pipe, until we know of it; without us it ends there.
        """
        gate, opener = os.pipe()
        try:
            async with self._lock:
                self._send(json.dumps(order).encode(), (*output, gate))
                said = await self._hear(ANSWER_SECONDS)
            if "pid" not in said:
                raise ParentGoneError(str(said.get("error", said)))
            process = RunProcess(said["pid"])
            os.write(opener, b"1")
            return process
        finally:
            os.close(gate)
            os.close(opener)

    def _send(self, message: bytes, descriptors: tuple[int, ...]) -> None:
        rights = array.array("i", descriptors)
        try:
            self._channel.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        except OSError as error:
            raise ParentGoneError(str(error)) from None

    async def _hear(self, seconds: float) -> dict[str, Any]:
        try:
            said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._channel, LONGEST_ANSWER), seconds)
        except (TimeoutError, OSError) as error:
            raise ParentGoneError(f"no answer: {type(error).__name__}") from None
        if not said:
            raise ParentGoneError("the warm parent has ended")
        return dict(json.loads(said))

    def close(self) -> None:
        """End it; runs it forked go on, for they are the worker's children."""
        self._channel.close()
        self.process.kill()
        self.process.wait()
        WATCHED.discard(self.process.pid)


class Parents:
    """What the worker asks for runs."""

    def __init__(self) -> None:
        self.defaults: dict[str, str] = {}
        """Variables of parents and runs where the environment says nothing else."""
        self._parents: dict[str, Parent] = {}
        self._locks = {preload: asyncio.Lock() for preload in PRELOADS}

    async def start(self, preload: str, order: Mapping[str, Any], output: Callable[[], int]) -> RunProcess:
        """A run forked from a living, fresh parent, writing to the descriptor `output` opens; else ParentGoneError."""
        descriptor = output()
        order = {**order, "environment": {**self.defaults, **order["environment"]}}
        try:
            for attempt in range(1, ATTEMPTS + 1):
                parent = await self.fresh(preload)
                try:
                    return await parent.start(order, (descriptor, descriptor))
                except ParentGoneError:
                    self._drop(preload, parent)
                    if attempt == ATTEMPTS:
                        raise
            raise ParentGoneError("no attempts")
        finally:
            os.close(descriptor)

    async def fresh(self, preload: str) -> Parent:
        """The parent, started or renewed where it is dead or older than the code on the disk."""
        async with self._locks[preload]:
            for _ in range(ATTEMPTS + 1):
                mark = await asyncio.to_thread(fingerprint)
                parent = self._parents.get(preload)
                if parent is not None and parent.is_alive and parent.mark == mark:
                    return parent
                if parent is not None:
                    self._drop(preload, parent)
                parent = Parent(PRELOADS[preload], mark, self._environment())
                self._parents[preload] = parent
                try:
                    await parent.wait_until_ready()
                except ParentGoneError:
                    self._drop(preload, parent)
                    raise
            raise ParentGoneError("the code changes faster than it can be imported")

    def _environment(self) -> dict[str, str]:
        """As runs have it by default, so that a fork finds Prefect's settings read already."""
        rendered = get_current_settings().to_environment_variables(exclude_unset=True)
        return {**self.defaults, **os.environ, **rendered}

    def processes(self) -> dict[str, int]:
        """Process ids by preload."""
        return {preload: parent.process.pid for preload, parent in self._parents.items() if parent.is_alive}

    def close(self) -> None:
        """End all of them."""
        for preload, parent in list(self._parents.items()):
            self._drop(preload, parent)

    def _drop(self, preload: str, parent: Parent) -> None:
        if self._parents.get(preload) is parent:
            del self._parents[preload]
        parent.close()
