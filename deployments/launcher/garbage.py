"""Garbage collection of a server: what is there before it serves stays, so it is not looked through again and again."""

import gc


def collect_rarely() -> None:
    """Leave what is imported and made out of collections from now on, and have fewer of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
