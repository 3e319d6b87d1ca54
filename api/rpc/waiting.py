"""Requests that wait for a block. Each holds a thread of the server, so only so many may wait at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import TypeVar

from api.serving import budget
from services.errors import Busy
from services.node import Node

# At most so many requests of one process wait, whoever sends them.
MOST = 32
_places = BoundedSemaphore(MOST)
# Seconds of one read of the events. Redis must answer requests within two.
_TURN = 1.0

Found = TypeVar("Found")


@contextmanager
def place() -> Iterator[None]:
    """Hold a place. Take it before anything is changed, so that a refused request changes nothing.

    Raises:
        Busy: `too_many_waiting`.
    """
    if not _places.acquire(blocking=False):
        raise Busy("too_many_waiting", "Too many requests wait for a block at once; try again.")
    try:
        with budget.waiting():
            yield
    finally:
        _places.release()


def wait_for(node: Node, look: Callable[[], Found | None], after: str, seconds: float) -> Found | None:
    """What `look` finds, once it finds something; None after so many seconds. It looks when something has happened.

    Args:
        after: the id of the last event before what is awaited could happen.
    """
    deadline = node.clock.now() + seconds
    while (found := look()) is None:
        left = deadline - node.clock.now()
        # A clock that was set back by more than has been waited ends the wait, or it would be too long.
        if not 0 < left <= seconds:
            return None
        events = node.mining.events.since(after, min(left, _TURN))
        after = events[-1].id if events else after
    return found
