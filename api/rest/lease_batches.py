"""Requests of miners that arrive at nearly the same time, answered together in one round trip to the store.

As `api/door/lease_batches.py` does in its event loop. Here a thread that has read a request does not wait for its
answer: it takes the next request, and the thread that makes the batch sends the answers. Waiting, and waking up, cost a
thread more than all else that it does for a request. At most one batch begins every PACE seconds, so a request that
comes alone is answered at once.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from api.leasing import PACE
from services.mining.leases import Asked, Handed, Leases, Reported
from services.store.leases import Lease

_log = structlog.get_logger(__name__)

# Requests of one batch, and those that may wait for theirs.
MOST: Final = 256
MOST_WAITING: Final = 1_024

# Sends the answer: of what was found for a request. None: more is needed than the one round trip.
Answer = Callable[[Lease | Reported | Exception | None], None]


class ThreadBatches:
    """The requests that wait for the next batch. Methods may be called from any thread."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Asked | Handed, Answer]] = deque()
        self._is_made = False  # some thread makes batches
        self._began = -PACE  # when the last one did, on the monotonic clock

    def add(self, asked: Asked | Handed, answer: Answer) -> bool:
        """Have a request answered with the next batch; False if too many wait already.

        If nobody makes batches, the caller does, its own first, until no request waits.
        """
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                return False
            self._waiting.append((asked, answer))
            if self._is_made:
                return True
            self._is_made = True
        try:
            while self._make():
                pass
        except BaseException:  # the next request has to find that nobody makes batches
            self._is_made = False
            raise
        return True

    def _make(self) -> bool:
        """Make one batch; False if no request waits for one."""
        pause = self._began + PACE - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        with self._lock:
            self._began = time.monotonic()
            batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            self._is_made = bool(batch)
        if not batch:
            return False
        try:
            found: Sequence[Lease | Reported | Exception | None] = self._leases.each([asked for asked, _ in batch])
        except Exception as error:
            found = [error] * len(batch)
        for (_, answer), outcome in zip(batch, found, strict=True):
            try:
                answer(outcome)
            except Exception as error:  # a bug; the others get their answers
                _log.exception("bug", error=type(error).__name__)
        return True
