"""What a parser process may not exceed, whatever a file makes it do; set before any file is opened."""

import resource
import signal

MEGABYTE = 1024 * 1024
LARGEST_FILE_MB = 2048
"""A file it writes: a Secondary Capture or a deflated dataset held in memory."""
MOST_OPEN_FILES = 64
GRACE_SECONDS = 5.0


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
