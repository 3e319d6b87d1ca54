"""Loading a program's modules without Python's garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause the collector while modules are imported, if it runs at all.

    Imports make tens of thousands of objects, nearly all of which stay. The collector would look through them again and
    again: a sixth of the time that the import takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def keep() -> None:
    """Take all that is in memory now out of every later collection.

    For a program that has loaded its modules: its collections have less to look through, and so has its end. The
    memory that a forked child shares with it stays shared. What is in memory and not used is not freed any more.
    """
    gc.freeze()
