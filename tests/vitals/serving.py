"""API processes as the launcher starts them, on one socket, for tests that kill them; or the API of this process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn

from deployments.launcher.parts import ROOT
from deployments.launcher.process import child_setup
from tests.api.helpers import app


@dataclass
class Servers:
    """They share a socket: while one is started again callers wait for it, or are served by another."""

    sock: socket.socket
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.sock.getsockname()[1]}"

    def start(self, name: str) -> None:
        descriptor = self.sock.fileno()
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "deployments.launcher.serve_api", str(descriptor), name],
            pass_fds=(descriptor,),
            cwd=ROOT,
            env=dict(os.environ),
            stderr=subprocess.DEVNULL,
            preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
        )

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(10)

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError("no API process answers")


@contextmanager
def servers(*names: str) -> Iterator[Servers]:
    """Started and answering; stopped at the end."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(256)
    made = Servers(sock)
    try:
        for name in names:
            made.start(name)
        made.wait()
        yield made
    finally:
        for process in made.running.values():
            if process.poll() is None:
                process.terminate()
        for process in made.running.values():
            process.wait(30)
        sock.close()


@contextmanager
def served() -> Iterator[str]:
    """The API of this process at a real address; what it logs goes to the tests' log."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app(), log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
