"""The C library's heap: told to give memory back. Does nothing where the C library is another than glibc."""

import ctypes
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # <malloc.h>
# A block is larger: it has pages of its own, which go back at once when it is freed. By default the limit grows with
# what is freed, up to 32 MiB, and blocks come to lie between small things that stay.
_OWN_PAGES = 262_144
_KEPT_FREE = 1_048_576
# One for each core would do, since threads take turns; by default it is eight for each, all with gaps of their own.
_ARENAS = 2


def _libc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "malloc_trim") and hasattr(libc, "mallopt") else None


def configure() -> None:
    """Make this process's heap fit for many threads that handle large things for a moment. Call before they start."""
    libc = _libc()
    if libc is not None:
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)


def give_back() -> None:
    """Return what is free to the system: milliseconds, during which other threads may have to wait."""
    libc = _libc()
    if libc is not None:
        libc.malloc_trim(0)
