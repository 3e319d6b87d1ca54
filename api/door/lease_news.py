"""Who waits for a round or for news of the tip, and the one reader that tells them."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from api.leasing import tip_event
from services.connections.failures import fields
from services.connections.servers import RedisError
from services.node import Node
from shared.errors import NodeError

if TYPE_CHECKING:
    import asyncio

    from api.door.leases import Listener, Waiter

_log = structlog.get_logger(__name__)

# Seconds that the reader waits for events; after an error, it waits so long.
_LOOK_SECONDS = 1.0
_PAUSE = 0.25
# Looks after which one of those that wait asks again without news: auto-mining may have rested, and opens a round then.
_IDLE_LOOKS = 2
# Proxies close a silent connection.
_HEARTBEAT_SECONDS = 10.0
_HEARTBEAT = b": still here\n\n"


class LeaseNews:
    """Its sets belong to the event loop; the reader is a thread that runs while somebody listens or waits."""

    def __init__(self, node: Node, loop: "asyncio.AbstractEventLoop") -> None:
        self._node = node
        self._loop = loop
        self._lock = threading.Lock()
        self._reader: threading.Thread | None = None
        self.listeners: set[Listener] = set()
        self.waiters: set[Waiter] = set()

    def begin(self) -> None:
        """Read from now on. Called after somebody was added to one of the sets."""
        with self._lock:
            if self._reader is None:
                self._reader = threading.Thread(target=self._read, name="lease-news", daemon=True)
                self._reader.start()

    def _read(self) -> None:
        seen, idle, told = "", 0, ""
        spoke = self._loop.time()  # when the listeners were last told something
        while True:
            with self._lock:
                if self._loop.is_closed() or not (self.listeners or self.waiters):
                    self._reader = None
                    return
            try:
                if not seen:
                    seen = self._node.mining.events.last()
                    kinds = {"block", "round"}  # something may have happened before
                else:
                    found = self._node.mining.events.since(seen, _LOOK_SECONDS)
                    seen = found[-1].id if found else seen
                    kinds = {event.type for event in found}
                if not kinds.isdisjoint({"block", "reorganisation"}):
                    tip = self._node.chain.tip()
                    if tip.hash != told:
                        told = tip.hash
                        self._in_loop(self._tell, tip_event(tip.hash, tip.height).encode())
                        spoke = self._loop.time()
                idle = 0 if kinds else idle + 1
                if "round" in kinds:
                    self._in_loop(self._wake, len(self.waiters))
                elif idle % _IDLE_LOOKS == _IDLE_LOOKS - 1:
                    self._in_loop(self._wake, 1)
                if self._loop.time() - spoke >= _HEARTBEAT_SECONDS:
                    self._in_loop(self._tell, _HEARTBEAT)
                    spoke = self._loop.time()
            except (RedisError, NodeError) as error:
                if self._loop.is_closed():  # the store may end with the door
                    continue
                _log.warning("lease_news_interrupted", **fields(error))
                self._node.clock.sleep(_PAUSE)
            except Exception:  # a bug, or an event that cannot be read: go on after the newest
                _log.exception("lease_news_failed")
                seen = ""
                self._node.clock.sleep(_PAUSE)

    def _tell(self, message: bytes) -> None:
        for listener in tuple(self.listeners):
            listener.send(message)

    def _wake(self, most: int) -> None:
        """Have so many of those that wait ask again."""
        asking = 0
        for waiter in tuple(self.waiters):
            if asking < most:
                asking += waiter.ask()

    def _in_loop(self, work: Callable[..., object], argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(work, argument)
        except RuntimeError:  # the loop has ended
            return
