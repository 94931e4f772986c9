"""What a parser process may not exceed, whatever a file makes it do; set before any file is opened."""

import resource
import signal

from tasks.clients.dicom.refusal import RefusalError

MEGABYTE = 1024 * 1024
LARGEST_FILE_MB = 2048
"""A file it writes: a Secondary Capture or a deflated dataset held in memory."""
MOST_OPEN_FILES = 64
GRACE_SECONDS = 5.0
MOST_PIXELS = 100_000_000
"""Of one picture or frame, whatever the memory."""
RESERVED_MB = 200
"""Of the address space: what the process has with every library it loads (166 MB measured)."""


def confine(memory_mb: int) -> None:
    """Address space, core dumps, written files and open files, hard."""
    for what, most in (
        (resource.RLIMIT_AS, memory_mb * MEGABYTE),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, LARGEST_FILE_MB * MEGABYTE),
        (resource.RLIMIT_NOFILE, MOST_OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def alarm(seconds: float) -> None:
    """End this process after so long, also within a library's loop and when the parent is gone; 0 takes it back.

    The parent kills first: this is for a parent that was killed itself.
    """
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SECONDS if seconds else 0)


def refuse_more_pixels(columns: int, rows: int, bytes_of_one: float) -> None:
    """RefusalError `pixels` where so many would not fit into this process, each needing so many bytes."""
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    most = MOST_PIXELS
    if space != resource.RLIM_INFINITY:
        most = min(most, int(max(0, space - RESERVED_MB * MEGABYTE) / bytes_of_one))
    if columns * rows > most:
        raise RefusalError("pixels", f"it has more than {most} pixels")
