"""What all connections of the door share."""

import asyncio
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import TYPE_CHECKING

from api.door.backlog import Backlog, Step
from api.door.feed import Feed
from api.door.known_heads import KnownHeads
from api.door.lease_batches import LoopBatches
from api.door.lease_news import LeaseNews
from api.door.limits import MAX_ARRIVING
from api.door.pool import Pool
from api.rpc.caller import may_control
from api.serving.budget import Budget
from api.serving.gate import MAX_LARGE_BODY
from api.serving.hosts import Hosts
from services.node import Node

if TYPE_CHECKING:
    from api.door.http import HttpConnection
    from api.door.requests import Received
    from api.door.websocket import WebSocket

_RECEIVED = 65_536  # bytes that are received at once, at most


class Door:
    """One node's door. Everything but `node`, `budget` and `feed` belongs to the event loop."""

    def __init__(self, node: Node, loop: asyncio.AbstractEventLoop) -> None:
        settings = node.settings
        self.node = node
        self.loop = loop
        self.pool = Pool(loop, settings.api_threads)
        self.budget = Budget(settings.api_threads, settings.answer_memory)
        self.buffer = memoryview(bytearray(_RECEIVED))  # what one read of any connection receives
        self.backlog = Backlog()
        self.feed = Feed(node, self._tell, self._lose)
        self.lease_news = LeaseNews(node, loop)
        self.lease_batches = LoopBatches(node.leases, self.pool, loop)
        self.known_heads = KnownHeads()
        self.hosts = Hosts(settings.loopback, frozenset(settings.allowed_hosts), settings.host)
        self.max_body = settings.max_body
        self.callers: set[HttpConnection] = set()  # connections that speak HTTP
        self.sockets: set[WebSocket] = set()
        self.listeners: set[WebSocket] = set()  # those with subscriptions
        self.arriving = 0  # bytes of requests that have arrived and are not answered yet
        self._large: HttpConnection | None = None  # whose large body arrives or is being answered
        self.ending = False
        self.requests = 0  # since the process began
        self.ended: dict[str, int] = {}  # connections that were ended, by reason
        self.now = 0.0
        self.date = b""
        self.look_at_the_clock()

    def look_at_the_clock(self) -> None:
        """Note the time. A second more or less does not matter to what goes by it."""
        self.now = self.loop.time()
        self.date = formatdate(usegmt=True).encode()

    @property
    def connections(self) -> int:
        return len(self.callers) + len(self.sockets)

    def has_room(self, size: int) -> bool:
        """Whether a request may hold `size` bytes more."""
        return self.arriving + size <= MAX_ARRIVING

    def most(self, request: "Received") -> int:
        """Bytes that the body of a request may have, as far as its head tells."""
        controls = may_control(self.node.settings, request.text(b"origin"))
        return MAX_LARGE_BODY if controls else self.max_body

    def begin_large(self, connection: "HttpConnection") -> bool:
        """Let a connection send a body of more than `max_body` bytes; False if another one does."""
        if self._large is not None:
            return False
        self._large = connection
        return True

    def end_large(self, connection: "HttpConnection") -> None:
        """Let the next connection send a large body, if this one has sent one."""
        if self._large is connection:
            self._large = None

    def count_end(self, reason: str) -> None:
        """Count a connection that was ended for a reason."""
        self.ended[reason] = self.ended.get(reason, 0) + 1

    def _tell(self, steps: Sequence[Step]) -> None:
        """Called by the feed's thread."""
        self._in_loop(lambda: self.publish(steps))

    def _lose(self) -> None:
        """Called by the feed's thread."""
        self._in_loop(self._cut_off_all)

    def publish(self, steps: Sequence[Step]) -> None:
        """Add steps to the backlog, and send them to all who can take them."""
        self.backlog.add(steps)
        for listener in tuple(self.listeners):
            listener.pump()

    def _cut_off_all(self) -> None:
        for listener in tuple(self.listeners):
            listener.cut_off("lost_track", "the chain was replaced: subscribe again")

    def _in_loop(self, work: Callable[[], object]) -> None:
        try:
            self.loop.call_soon_threadsafe(work)
        except RuntimeError:  # the loop has ended
            return
