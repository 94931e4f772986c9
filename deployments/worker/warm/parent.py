"""A warm parent: everything imported, one thread, nothing open; each run is a fork of it.

`python -m deployments.worker.warm.parent FD MODULE...`, started by the worker alone. FD is a socket that keeps message
boundaries. It says `{"ready": true}` once everything is imported, and answers each order with `{"pid": ...}` or
`{"error": ...}`. It ends when the worker does.
"""

import array
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
from typing import Any

from deployments.worker.warm import child
from deployments.worker.warm.packages import warm_packages
from deployments.worker.warm.rehearsal import heritage, rehearse

LONGEST_ORDER = 1 << 20
"""Bytes; the environment of a run is most of it."""
DESCRIPTORS = 3
"""With an order come its run's standard output, its standard error, and the gate it waits at."""
PREFECT = ("prefect.flow_engine", "prefect._internal.metrics", "prefect.runner", "prefect.events.worker")
"""What `prefect.engine` imports when it runs."""


def main(arguments: list[str]) -> None:
    """Import, say so, then fork one run for each order; returns when the worker is gone."""
    channel = socket.socket(fileno=int(arguments[0]))
    preload(arguments[1:])
    rehearse()
    inherited = heritage()
    gc.collect()
    gc.freeze()  # what is imported stays shared: a collection in a run would touch, and so copy, all of it
    _answer(channel, {"ready": True, "threads": threads()})
    while True:
        try:
            message, descriptors = _receive(channel)
        except ConnectionResetError:
            return
        if not message:
            return
        if threads() != 1:
            _answer(channel, {"error": f"the warm parent has {threads()} threads"})
            return
        order = json.loads(message)
        if _fork(channel):
            channel.close()
            child.become(order, descriptors, inherited)
        for descriptor in descriptors:
            os.close(descriptor)


def preload(modules: list[str]) -> None:
    """Import what the engine needs, these modules, and every module of the packages whose flows are forked."""
    for name in [*PREFECT, *modules]:
        importlib.import_module(name)
    for package in map(importlib.import_module, warm_packages()):
        for found in pkgutil.walk_packages(package.__path__, prefix=f"{package.__name__}."):
            importlib.import_module(found.name)


def threads() -> int:
    """Threads of this process, those of libraries included, which Python does not know of."""
    return len(os.listdir("/proc/self/task"))


def _fork(channel: socket.socket) -> bool:
    """True in the run's process, False in the parent.

    Forked twice: the one between ends at once, so that the run's parent is the worker (the nearest child subreaper),
    which then learns how the run ended even when this process has died meanwhile.
    """
    reading, writing = os.pipe()
    try:
        between = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        _answer(channel, {"error": f"no process could be made: {error.strerror}"})
        return False
    if between == 0:
        os.close(reading)
        try:
            run = os.fork()
        except OSError as error:
            os.write(writing, f"error {error.strerror}".encode())
            os._exit(1)
        if run:
            os.write(writing, str(run).encode())
            os._exit(0)
        os.close(writing)
        return True
    os.close(writing)
    said = os.read(reading, 200).decode()
    os.close(reading)
    os.waitpid(between, 0)
    failed = not said.isdigit()
    _answer(channel, {"error": f"no process could be made: {said}"} if failed else {"pid": int(said)})
    return False


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    message, ancillary, _, _ = channel.recvmsg(
        LONGEST_ORDER, socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
    )
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return message, list(descriptors)


def _answer(channel: socket.socket, content: dict[str, Any]) -> None:
    try:
        channel.send(json.dumps(content).encode())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the worker is gone


if __name__ == "__main__":
    main(sys.argv[1:])
