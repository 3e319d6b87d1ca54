"""One direction between two nodes: how long bytes take, how many pass in a second, and whether any arrive.

A link carries what its second node hears from its first: the requests that the first sends to it, and the answers that
the first gives to it. All methods belong to the router's loop; `lab/real/router.py` hands calls of other threads over.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from lab.interface import Conditions

# Bytes of one connection that are under way on a link. It bounds memory, and with a latency of one second it bounds
# what passes to this many bytes a second, as the window of TCP does.
UNDER_WAY = 256 * 1024
# With a limit on the rate, bytes pass in pieces that take this many seconds each.
_PIECE_SECONDS = 0.02
_MIN_PIECE, _MAX_PIECE = 64, 16_384
# Seconds for which a link makes up after a pause, its own or the machine's: a burst of so many seconds' bytes.
_BURST_SECONDS = 0.05


class Broken(Exception):
    """A connection ends now, with a reset: its link is cut, or was told to break it."""


@dataclass(slots=True)
class Counters:
    """What has happened on a link since the lab began."""

    requests: int = 0  # sent by the first node to the second
    bytes: int = 0  # that passed, of requests and of answers
    cut: int = 0  # connections that were refused or ended by a cut or a reset


@dataclass(eq=False)
class RouterLink:
    """What the router knows of a link."""

    random: random.Random  # for the jitter
    conditions: Conditions = field(default_factory=Conditions)
    stopped: bool = False  # nothing passes, and nothing ends
    break_after: int | None = None  # bytes of one connection after which it is reset
    counters: Counters = field(default_factory=Counters)
    breakers: set[Callable[[], None]] = field(default_factory=set)  # of the connections that are open
    moving: asyncio.Event = field(default_factory=asyncio.Event)  # set while the link is not stopped
    _free_at: float = 0.0  # loop time at which the bytes that wait for the rate have passed
    _waiting: set["asyncio.Future[None]"] = field(default_factory=set)  # for the rate

    def __post_init__(self) -> None:
        self.moving.set()

    def change(self, *, latency: float | None, jitter: float | None, rate: float | None) -> None:
        """As `lab.interface.Link.set`. What is under way keeps its latency."""
        now = self.conditions
        self.conditions = replace(
            now,
            latency=now.latency if latency is None else latency,
            jitter=now.jitter if jitter is None else jitter,
            rate=now.rate if rate is None else rate or None,
        )
        if rate is not None:
            self._free_at = 0.0
            for waiting in self._waiting:
                _wake(waiting)

    def cut(self) -> None:
        self.conditions = replace(self.conditions, cut=True)
        self.reset()

    def stop(self) -> None:
        self.stopped = True
        self.moving.clear()

    def restore(self) -> None:
        """End a cut, a stop, and resets to come."""
        self.conditions = replace(self.conditions, cut=False)
        self.stopped, self.break_after = False, None
        self.moving.set()

    def reset(self) -> None:
        """End the connections that are open."""
        for end in list(self.breakers):
            end()

    @property
    def is_plain(self) -> bool:
        """Whether bytes pass at once."""
        return self.conditions == _PLAIN and not self.stopped and self.break_after is None

    def require(self) -> None:
        """Raises `Broken`: the link is cut."""
        if self.conditions.cut:
            raise Broken

    def delay(self) -> float:
        """Seconds that the next bytes take."""
        jitter = self.conditions.jitter
        return self.conditions.latency + (self.random.uniform(0, jitter) if jitter else 0.0)

    def piece(self) -> int:
        """How many bytes may pass at once."""
        rate = self.conditions.rate
        return _MAX_PIECE if rate is None else max(_MIN_PIECE, min(_MAX_PIECE, int(rate * _PIECE_SECONDS)))

    async def pass_at_rate(self, length: int) -> None:
        """Wait until so many bytes have passed. All connections on the link share its rate, in the order they ask."""
        rate = self.conditions.rate
        if rate is None:
            return
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time() - _BURST_SECONDS) + length / rate
        if self._free_at <= loop.time():
            return
        passed = loop.create_future()
        timer = loop.call_at(self._free_at, _wake, passed)
        self._waiting.add(passed)
        try:
            await passed
        finally:
            timer.cancel()
            self._waiting.discard(passed)


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


_PLAIN = Conditions()


class Lane:
    """The bytes of one connection on a link, in order."""

    def __init__(self, link: RouterLink, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._writer = writer
        self._sent = 0
        self._waiting: deque[tuple[float, bytes]] = deque()  # loop time of arrival
        self._under_way = 0
        self._delivery: asyncio.Task[None] | None = None
        self._failure: OSError | None = None
        self._changed = asyncio.Condition()

    async def send(self, data: bytes) -> None:
        """Let bytes begin their way; returns when there is room for more.

        Raises:
            Broken: the link was cut, or breaks this connection.
            OSError: the receiver is gone.
        """
        link = self._link
        if link.is_plain and self._delivery is None:
            link.counters.bytes += len(data)
            self._sent += len(data)
            self._writer.write(data)
            await self._writer.drain()
            return
        view = memoryview(data)
        while view:
            await link.moving.wait()
            link.require()
            piece = bytes(view[: link.piece()])
            breaks = link.break_after is not None and self._sent + len(piece) >= link.break_after
            if breaks and link.break_after is not None:
                piece = piece[: max(0, link.break_after - self._sent)]
            await link.pass_at_rate(len(piece))
            link.counters.bytes += len(piece)
            self._sent += len(piece)
            view = view[len(piece) :]
            await self._enqueue(piece)
            if breaks:
                await self.finish()
                raise Broken

    async def _enqueue(self, piece: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time() + self._link.delay(), piece))
        self._under_way += len(piece)
        if self._delivery is None:
            self._delivery = loop.create_task(self._deliver())
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way <= UNDER_WAY or self._delivery is None)
        self._raise_failure()

    async def _deliver(self) -> None:
        """Hand over each piece when it arrives, in the order they were sent. Ends when nothing is under way."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                arrival, piece = self._waiting[0]
                if arrival > loop.time():
                    await asyncio.sleep(arrival - loop.time())
                self._writer.write(piece)
                await self._writer.drain()
                self._waiting.popleft()
                self._under_way -= len(piece)
                async with self._changed:
                    self._changed.notify_all()
        except OSError as error:
            self._failure = error
        finally:
            self._delivery = None
            async with self._changed:
                self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def finish(self) -> None:
        """Wait until everything has arrived."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._delivery is None)
        self._raise_failure()

    def close(self) -> None:
        """Drop what is under way."""
        if self._delivery is not None:
            self._delivery.cancel()
