"""One client's connection to the router: requests one after the other, each with its answer, over the two links."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lab.real.links import Broken, Lane, RouterLink
from lab.real.messages import Answer, BadRequest, Event, Head, Requests

_READ = 65_536
# Seconds that a request's headers may take, and that a connection may be idle between two requests.
_HEAD_SECONDS = 60.0
# Bytes that are read ahead of a connection; twice as many may lie in its buffer.
READ_AHEAD = 32_768
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST

_REFUSALS = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}


@dataclass(frozen=True, slots=True)
class Route:
    """How one request goes."""

    port: int  # on 127.0.0.1
    there: RouterLink  # from the asking node to the asked one
    back: RouterLink


class Refused(Exception):
    """The router answers in place of a node."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class ClientConnection:
    """One connection of a node to the router.

    Args:
        route: finds the way to a host and a port; None: there is no such node.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        route: Callable[[str, int], Route | None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._route = route
        self._requests = Requests()
        self._ahead: bytes | None = None  # read while an answer was on its way

    async def serve(self) -> None:
        """Serve until either side ends the connection, or a link does."""
        try:
            while True:
                async with asyncio.timeout(_HEAD_SECONDS):
                    event = await self._next()
                if not isinstance(event, Head) or not await self._serve_one(event):
                    break
        except BadRequest:
            await self._answer(400)
        except Refused as refused:
            await self._answer(refused.status)
        except Broken:
            _reset(self._writer)
        except (OSError, TimeoutError):
            pass
        finally:
            self._writer.close()

    async def _next(self) -> Event | None:
        """The next piece of a request; None: the client is gone."""
        while not self._requests.events:
            if self._ahead is not None:
                data, self._ahead = self._ahead, None
            else:
                data = await self._reader.read(_READ)
            if not data:
                return None
            self._requests.feed(data)
        return self._requests.events.popleft()

    async def _answer(self, status: int) -> None:
        text = f"HTTP/1.1 {status} {_REFUSALS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        with suppress(OSError):
            self._writer.write(text.encode("ascii"))
            await self._writer.drain()

    async def _serve_one(self, head: Head) -> bool:
        """Serve one request. Returns whether the client may send another one."""
        route = self._route(head.host, head.port)
        if route is None:
            raise Refused(403)
        route.there.counters.requests += 1
        me = asyncio.current_task()
        broken = False

        def end() -> None:
            nonlocal broken
            broken = True
            if me is not None:
                me.cancel()

        links = (route.there, route.back)
        for link in links:
            link.breakers.add(end)
        try:
            return await self._over(route, head)
        except asyncio.CancelledError:
            if not broken or me is None:
                raise
            me.uncancel()
            route.there.counters.cut += 1
            raise Broken from None
        except Broken:
            route.there.counters.cut += 1
            raise
        finally:
            for link in links:
                link.breakers.discard(end)

    async def _over(self, route: Route, head: Head) -> bool:
        route.there.require()
        if route.there.stopped and not await self._while_connected(_started(_true(route.there.moving.wait()))):
            return False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", route.port, limit=READ_AHEAD)
        except OSError:
            raise Refused(502) from None
        there, back = Lane(route.there, writer), Lane(route.back, self._writer)
        try:
            if head.method == "CONNECT":
                await self._tunnel(there, back, reader, route.back)
                return False
            return await self._exchange(head, there, back, reader)
        except (Broken, asyncio.CancelledError):
            _reset(writer)
            raise
        finally:
            there.close()
            back.close()
            writer.close()

    async def _exchange(self, head: Head, there: Lane, back: Lane, reader: asyncio.StreamReader) -> bool:
        answer = Answer(to_head=head.method == "HEAD")
        answering = _started(_pass_answer(answer, reader, back))
        try:
            await there.send(head.to_bytes())
            while (event := await self._next()) != "end":
                if not isinstance(event, bytes):
                    return False  # the client is gone, in the middle of its request
                await there.send(b"%x\r\n%s\r\n" % (len(event), event) if head.chunked else event)
            if head.chunked:
                await there.send(b"0\r\n\r\n")
            if self._requests.tunnelled is not None:  # an upgrade: the bytes that follow are no HTTP
                await self._both_ways(there, answering)
                return False
            if not await self._while_connected(answering):
                return False
            return answering.result() and head.keeps_alive
        finally:
            await _end(answering)

    async def _tunnel(self, there: Lane, back: Lane, reader: asyncio.StreamReader, link: RouterLink) -> None:
        await self._next()  # the end of CONNECT
        link.require()
        self._writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._both_ways(there, _started(_pass_answer(Answer(to_head=True), reader, back)))

    async def _both_ways(self, there: Lane, answering: asyncio.Task[bool]) -> None:
        """Pass bytes in both directions until one has no more."""
        tasks = {answering, _started(_true(self._pass_on(there)))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                await _end(task)

    async def _pass_on(self, there: Lane) -> None:
        """Pass the client's bytes on, as they are, until it has no more."""
        if self._requests.tunnelled:
            await there.send(self._requests.tunnelled)
        while data := await self._reader.read(_READ):
            await there.send(data)
        await there.finish()

    async def _while_connected(self, task: asyncio.Task[bool]) -> bool:
        """Wait for a task unless the client goes away. Returns whether it is done; raises what it raises.

        What the client sends meanwhile is kept for later, and then its going away is not noticed any more.
        """
        try:
            if self._ahead is None and not task.done():
                watch = asyncio.ensure_future(self._reader.read(_READ))
                try:
                    await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not watch.done():
                        await _end(watch)
                if not watch.cancelled():
                    self._ahead = watch.result()
                    if not self._ahead and not task.done():
                        return False
            await asyncio.wait({task})
            task.result()
            return True
        finally:
            task.cancel()


async def _pass_answer(answer: Answer, reader: asyncio.StreamReader, back: Lane) -> bool:
    """Pass a node's answer on to its end. Returns whether the client may ask again on its connection.

    If only the link back is cut, the request has arrived, and its answer breaks the connection.
    """
    while not answer.complete:
        data = await reader.read(_READ)
        if not data:
            await back.finish()
            return False
        answer.feed(data)
        await back.send(data)
    await back.finish()
    return answer.keeps_alive


def _started(work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
    return asyncio.get_running_loop().create_task(work)


async def _true(work: Coroutine[Any, Any, Any]) -> bool:
    await work
    return True


async def _end(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait for its end, whatever it is."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # it counts as seen


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other side sees it break."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
