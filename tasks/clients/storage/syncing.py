"""Files and folders made durable by threads of their own: the disk takes a few at once as quickly as one.

What a flush costs is its way to the disk and back, some milliseconds in which nothing is computed.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

THREADS = 16


def begin_sync(descriptor: int) -> "Future[None]":
    """Begin to make what was written so far durable; it is once the future is done, whose error is the disk's.

    The descriptor may be closed meanwhile.
    """
    return _begun(_sync_and_close, os.dup(descriptor), descriptor)


def begin_sync_of_open(descriptor: int) -> "Future[None]":
    """The same of a descriptor that its owner keeps open until the future is done: two calls of the system fewer."""
    return _begun(os.fsync, descriptor, descriptor)


def sync_all(descriptors: Sequence[int]) -> None:
    """Make all of them durable, at once."""
    others = [begin_sync_of_open(descriptor) for descriptor in descriptors[1:]]
    try:
        os.fsync(descriptors[0])
    finally:
        for other in others:
            other.exception()  # none of them goes on when we have returned
    for other in others:
        other.result()


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _begun(sync: Callable[[int], None], theirs: int, descriptor: int) -> "Future[None]":
    try:
        return _threads().submit(sync, theirs)
    except RuntimeError:
        # The interpreter is ending, and those that are at work finish; or there may be no more threads, and one of the
        # pool's comes to what it was given later, and closes it then: so what is synced here is the caller's own.
        return _done_here(descriptor)


def _done_here(descriptor: int) -> "Future[None]":
    done: Future[None] = Future()
    try:
        os.fsync(descriptor)
    except OSError as failed:
        done.set_exception(failed)
    else:
        done.set_result(None)
    return done


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="syncs")


os.register_at_fork(after_in_child=_threads.cache_clear)  # the threads are the parent's
