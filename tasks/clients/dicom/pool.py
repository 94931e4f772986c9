"""The parser processes of this process: how files are read by everyone else."""

import os
import threading
import weakref
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.imaging.ports import (
    Description,
    Instance,
    MissingObjectError,
    NotAnImageError,
    Picture,
    Rendering,
    Wrapping,
)
from models.kernel.errors import HeldError, RetryableError
from models.kernel.settings import settings
from tasks.clients.dicom.process import ParserProcess
from tasks.clients.dicom.wire import EndedError

FILES_OF_A_PROCESS = 2_000
"""After so many it is renewed: what libraries leak stays small."""
WAIT_SECONDS = 60.0


class ParserPool:
    """`ImageParser` by up to `size` processes, started when first needed. Thread-safe; `close` ends them.

    `memory_mb` bounds each process's address space, `seconds` each call.
    """

    def __init__(
        self,
        size: int,
        *,
        memory_mb: int,
        seconds: float,
        wait_seconds: float = WAIT_SECONDS,
        renew_after: int = FILES_OF_A_PROCESS,
    ) -> None:
        self._size, self._memory_mb, self._seconds = size, memory_mb, seconds
        self._wait_seconds, self._renew_after = wait_seconds, renew_after
        self._begin()
        _pools.add(self)

    def read(self, path: Path) -> Instance | Picture:
        """What the file is and says, by its content alone; its pixels are not read, its lengths are."""
        head, _ = self._ask("read", path)
        if "picture" in head:
            return Picture(**head["picture"])
        return Instance(**head["instance"])

    def describe(self, path: Path) -> Description:
        """Everything but the pixels, and where they lie."""
        head, metadata = self._ask("describe", path)
        found = head["description"]
        return Description(
            metadata=metadata,
            transfer_syntax_uid=found["transfer_syntax_uid"],
            frames=[[(start, length) for start, length in pieces] for pieces in found["frames"]],
            bulk={place: (start, length) for place, (start, length) in found["bulk"].items()},
            is_complete=found["is_complete"],
        )

    def pixels(self, path: Path, frame: int) -> bytes:
        """One frame's bytes in the file's transfer syntax; little endian explicit where the file is deflated."""
        return self._ask("pixels", path, frame)[1]

    def bulk(self, path: Path, place: str) -> bytes:
        """The value `describe` calls by this path, where there are no offsets."""
        return self._ask("bulk", path, place)[1]

    def render(self, path: Path, rendering: Rendering) -> bytes:
        """One frame as PNG or JPEG; NotAnImageError (`no_pixels`, `frame`, `codec`) where that is not possible."""
        return self._ask("render", path, asdict(rendering))[1]

    def wrap(self, path: Path, target: Path, wrapping: Wrapping) -> None:
        """Write the picture as a Secondary Capture to `target`, a new file; the same input gives the same bytes."""
        self._ask("wrap", path, os.path.abspath(target), asdict(wrapping))

    @property
    def pids(self) -> list[int]:
        """The processes there are."""
        with self._lock:
            return [process.pid for process in self._processes]

    def close(self) -> None:
        """End every process; who waits for one, or asks later, gets RetryableError."""
        with self._lock:
            self._is_closed = True
            idle = self._idle[:]
            self._idle.clear()
            for process in self._processes:
                process.end()
        for process in idle:
            self._discard(process)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._size)
        self._idle: list[ParserProcess] = []
        self._processes: set[ParserProcess] = set()
        self._is_closed = False

    def _ask(self, name: str, path: Path, *arguments: Any) -> tuple[Any, bytes]:
        if not self._free.acquire(timeout=self._wait_seconds):
            raise RetryableError("every parser process is busy")
        try:
            head, body = self._answer(name, [os.path.abspath(path), *arguments])
        finally:
            self._free.release()
        if "refused" in head:
            raise NotAnImageError(head["refused"], head["message"])
        if "failed" in head:
            raise HeldError("parser_failed", f"the file was not understood ({head['failed']})")
        if "later" in head:
            raise RetryableError(f"the file could not be read or written now ({head['later']})")
        if "missing" in head:
            raise MissingObjectError("the file is not there")
        return head, body

    def _answer(self, name: str, arguments: list[Any]) -> tuple[Any, bytes]:
        while True:
            process = self._take()
            try:
                answer = process.ask(name, arguments)
            except EndedError:  # killed while it was idle: the file has no part in it
                self._discard(process)
                continue
            except BaseException:
                self._discard(process)
                if self._is_closed:
                    raise RetryableError("the parser processes are being ended") from None
                raise
            self._give_back(process)
            return answer

    def _take(self) -> ParserProcess:
        with self._lock:
            if self._is_closed:
                raise RetryableError("the parser processes are being ended")
            if self._idle:
                return self._idle.pop()
        process = ParserProcess(self._memory_mb, self._seconds)
        with self._lock:
            self._processes.add(process)
        try:
            process.wait_until_ready()
        except BaseException:
            self._discard(process)
            raise
        return process

    def _give_back(self, process: ParserProcess) -> None:
        with self._lock:
            if not self._is_closed and process.files < self._renew_after:
                self._idle.append(process)
                return
        self._discard(process)

    def _discard(self, process: ParserProcess) -> None:
        process.kill()
        with self._lock:
            self._processes.discard(process)

    def _forget(self) -> None:
        """In a fork of this process: the processes and their sockets are the parent's."""
        for process in self._processes:
            process.forget()
        self._begin()


_pools: "weakref.WeakSet[ParserPool]" = weakref.WeakSet()


def _forget_all() -> None:
    for each in list(_pools):
        each._forget()


os.register_at_fork(after_in_child=_forget_all)


@lru_cache(maxsize=1)
def pool() -> ParserPool:
    """The pool of this process, as the settings say."""
    wanted = settings()
    return ParserPool(
        wanted.image_parsers, memory_mb=wanted.image_parser_memory_mb, seconds=wanted.image_parser_seconds
    )
