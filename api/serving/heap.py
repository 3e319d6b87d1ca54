"""Makes the heap of the C library give memory back to the system. With a C library other than glibc it does nothing."""

import ctypes
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # <malloc.h>
# Bytes. A larger allocation gets pages of its own, which go back to the system when it is freed. By default this limit
# grows up to 32 MiB, and large allocations then lie between small ones that stay.
_OWN_PAGES = 262_144
_KEPT_FREE = 1_048_576
# Threads take turns in Python, so two arenas do. The default is eight for each core, each with its own fragmentation.
_ARENAS = 2


def _libc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


def configure() -> None:
    """Prepare the heap for many threads that hold large objects for a short time. Call it before they start."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)


def give_back() -> None:
    """Return free memory to the system. Takes milliseconds, in which other threads may have to wait."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
