"""How much memory processes grow by while something is done: the API's, its parsers', and PostgreSQL's backends."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.processes import below, children, status_mb

PERIOD_SECONDS = 0.1


@dataclass(slots=True)
class Growth:
    """Of each process its first figure and its largest, in MB.

    API and parsers: resident memory, whose peak the kernel keeps (VmHWM). Backends: RssAnon, their own memory alone,
    for most of what is resident of theirs is shared_buffers. One that began meanwhile has grown by all that it has.
    """

    first: dict[tuple[str, int], float] = field(default_factory=dict)
    most: dict[tuple[str, int], float] = field(default_factory=dict)

    def note(self, kind: str, pid: int, now: float | None, peak: float | None) -> None:
        """A sample; None for a process that has ended."""
        if now is not None and peak is not None:
            key = kind, pid
            self.first.setdefault(key, now)
            self.most[key] = max(self.most.get(key, 0.0), peak)

    def largest(self) -> dict[str, float]:
        """By kind, the growth of the process that grew most."""
        found: dict[str, float] = {}
        for (kind, pid), most in self.most.items():
            found[kind] = max(found.get(kind, 0.0), most - self.first[kind, pid])
        return found


@contextmanager
def growth(api: Sequence[int], postgres: int) -> Iterator[Growth]:
    """Sampled by a thread while the block runs; `postgres` is the server's first process."""
    watched, ended = Growth(), threading.Event()

    def sample() -> None:
        is_later, known = bool(watched.first), children()
        for pid in api:
            watched.note("API", pid, status_mb(pid, "VmRSS"), status_mb(pid, "VmHWM"))
        for pid in (child for one in api for child in below(one, known)):
            _note_child(watched, "parser", pid, ("VmRSS", "VmHWM"), is_later=is_later)
        for pid in below(postgres, known):
            _note_child(watched, "backend", pid, ("RssAnon", "RssAnon"), is_later=is_later)

    def sample_on() -> None:
        while not ended.wait(PERIOD_SECONDS):
            sample()

    sample()
    thread = threading.Thread(target=sample_on, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()
        sample()


def _note_child(watched: Growth, kind: str, pid: int, names: tuple[str, str], *, is_later: bool) -> None:
    if is_later:
        watched.first.setdefault((kind, pid), 0.0)
    watched.note(kind, pid, *(status_mb(pid, name) for name in names))
