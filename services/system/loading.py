"""Loading a program's modules without Python's garbage collector."""

import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MADV_DONTNEED = 4  # <sys/mman.h>


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


def unmap_code() -> None:
    """Let go of the pages of files, mostly of code, that this process has read and not changed.

    For a program that has loaded what it needs and will run little of it: a compiler, for example, is tens of megabytes
    that nobody uses any more. What is used all the same is read again, mostly from the system's cache of files. Only on
    Linux; elsewhere nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    for start, end in _unchanged(Path("/proc/self/smaps").read_text()):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _unchanged(smaps: str) -> list[tuple[int, int]]:
    """The mappings of files that cannot be written to and of which no page is a copy of our own: start and end.

    A page that was written to before it was protected, as the dynamic linker does, would be lost otherwise.
    """
    found: list[tuple[int, int]] = []
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", smaps, flags=re.MULTILINE)[1:]:
        head, *lines = part.splitlines()
        addresses, rights, _, _, inode, *_ = head.split()
        if inode != "0" and rights in ("r--p", "r-xp") and "Anonymous:             0 kB" in lines:
            start, _, end = addresses.partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found
