"""Connections of miners, which are read together.

Where asyncio reads a connection, each request wakes the process up, and the wake-up costs more than reading it. A miner
takes its next lease ahead and can wait for some milliseconds. So connections on which a miner was answered leave
asyncio's set of connections for another one, whose owner looks into it now and then and reads all that has arrived. A
connection goes back to asyncio when it ends, when it has to be held up, and when it asks for something else.

This needs epoll. Where a system has none, asyncio reads all connections.
"""

import asyncio
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from api.door.http import HttpConnection

_log = structlog.get_logger(__name__)


class Gathering:
    """The connections of the miners of one door. Everything belongs to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, arrived: Callable[[], None]) -> None:
        """`arrived`: called once after `watch`, when something has arrived."""
        self._loop = loop
        self._arrived = arrived
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._connections: dict[int, HttpConnection] = {}  # by descriptor
        self._is_watched = False

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: "HttpConnection", descriptor: int) -> bool:
        """Read a connection, which asyncio does not read any more; False if that cannot be."""
        if self._epoll is None:
            return False
        try:
            # Each arrival is told once: a connection whose answer is being made is not told of again and again.
            self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        except OSError:  # the system has its limits
            return False
        self._connections[descriptor] = connection
        return True

    def remove(self, descriptor: int) -> None:
        """Read a connection no more. Its descriptor must still be open."""
        if self._connections.pop(descriptor, None) is not None and self._epoll is not None:
            self._epoll.unregister(descriptor)

    def read(self) -> bool:
        """Read all that has arrived; False if that is nothing."""
        if self._epoll is None:
            return False
        events = self._epoll.poll(0)
        for descriptor, event in events:
            connection = self._connections.get(descriptor)
            if connection is None:  # what was read before it has ended it
                continue
            try:
                connection.read(descriptor, ends=event != select.EPOLLIN)
            except Exception as error:  # a bug; the others are read
                _log.exception("bug", error=type(error).__name__)
                connection.abort()
        return bool(events)

    def watch(self) -> None:
        """Call `arrived` when something arrives next, or has arrived already."""
        if self._epoll is not None and self._connections and not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self._epoll.fileno(), self._told)

    def _told(self) -> None:
        assert self._epoll is not None, "it is watched"
        self._loop.remove_reader(self._epoll.fileno())
        self._is_watched = False
        self._arrived()


def receive(descriptor: int, buffer: memoryview) -> int:
    """Receive into `buffer`. Returns how many bytes; 0 if the connection has ended, -1 if nothing has arrived."""
    try:
        return os.readv(descriptor, [buffer])
    except BlockingIOError:
        return -1
    except OSError:  # the client has reset it
        return 0
