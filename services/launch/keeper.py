"""Keeping an embedded Valkey running: when it ends, it is restarted after a delay that grows with each failure.

A start can take minutes (the server loads its data) or wait for room on the disk, so it runs in a thread: the caller
also keeps other nodes running.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from services.launch.last_words import obstacle
from shared.errors import NodeError

log = structlog.get_logger(__name__)

# Seconds.
FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
LONG_LIFE = 10.0  # a server that ran this long was healthy, and its next restart is quick again
_STOP_PATIENCE = 20.0


class Server(Protocol):
    """What is kept running: `services.launch.embedded.EmbeddedValkey`, or a test's double."""

    @property
    def alive(self) -> bool: ...

    def require_room(self) -> None:
        """Raises NodeError if the disk is full: a server that starts there ends at its first write."""

    def start(self, *, again: bool = False, cancelled: threading.Event | None = None) -> None: ...

    def stop(self) -> None: ...


class Keeper:
    """Looks after one server that has been started. Call all methods from one thread.

    Args:
        name: the node's, for the log.
    """

    def __init__(self, server: Server, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._name = name
        self._clock = clock
        self._born = clock()
        self._delay = 0.0
        self._due = 0.0
        self._down = False
        self._waits_for = ""
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.lost: NodeError | None = None  # why it is not restarted any more: its data are damaged

    def tick(self) -> None:
        """Look at the server once, without waiting."""
        if self.lost is not None:
            return
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread = None
            self._conclude(self._failure)
        elif self._server.alive:
            if self._clock() - self._born >= LONG_LIFE:
                self._settle()
        elif not self._down:
            self._mourn()
        elif self._clock() >= self._due:
            self._failure = None
            thread = threading.Thread(target=self._start, name=f"valkey of {self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread is free, which may pass
                self._conclude(error)
            else:
                self._thread = thread

    def stop(self) -> None:
        """End the server, or its start. Safe to call twice."""
        self._cancelled.set()
        if self._thread is not None:
            self._thread.join(_STOP_PATIENCE)
        self._server.stop()

    def _start(self) -> None:
        try:
            self._server.require_room()
            self._server.start(again=True, cancelled=self._cancelled)
        except BaseException as error:
            self._failure = error

    def _mourn(self) -> None:
        """Note that it has ended. It is logged once, and again only after the server has run for LONG_LIFE."""
        self._down = True
        if not self._delay:
            log.warning("valkey_exited", node=self._name)
        self._back_off()

    def _conclude(self, failure: BaseException | None) -> None:
        if failure is None:
            self._down = False
            self._born = self._clock()
            return
        if not isinstance(failure, Exception):
            raise failure
        if isinstance(failure, NodeError) and getattr(failure, "damaged", False):
            self.lost = failure
            return
        waits_for = obstacle(failure)
        if waits_for != self._waits_for and not self._cancelled.is_set():
            log.error("valkey_waits", node=self._name, waits_for=waits_for, reason=str(failure))
            self._waits_for = waits_for
        self._back_off()

    def _settle(self) -> None:
        if self._waits_for:
            log.warning("valkey_is_back", node=self._name)
        self._waits_for, self._delay = "", 0.0

    def _back_off(self) -> None:
        self._delay = min(max(self._delay * 2, FIRST_DELAY), LONGEST_DELAY)
        self._due = self._clock() + self._delay
