"""The network between the nodes of a lab: an HTTP forward proxy with a port for each node, on loopback only.

Each node has its own port here as `QUARRY_PEER_PROXY`, so the router knows who asks; whom, the request says. It passes
requests to the nodes of the lab and to nothing else. What each link does can be changed at any time, from any thread.

    router = Router(seed=7)
    router.start()
    port = router.add(1, "127.0.0.1", 5001)        # for node 1: QUARRY_PEER_PROXY=http://127.0.0.1:PORT
    router.link(1, 2).set(latency=0.4, jitter=0.1)

A front (`lab/real/front.py`) may stand before a node: it gets the requests to the node (`redirect`) and those of the
node (`divert`), and asks others in the node's place (`voice`).
"""

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

from lab.interface import Conditions, LabError
from lab.real.exchange import READ_AHEAD, ClientConnection, Route
from lab.real.links import Counters, RouterLink

T = TypeVar("T")

# Connections of one node. A connection more is ended at once.
MAX_CONNECTIONS = 128
_CALL_SECONDS = 10.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class LinkHandle:
    """One link, for any thread: a `lab.interface.Link`. Calls return when they have taken effect."""

    def __init__(self, link: RouterLink, call: "Callable[[Callable[[], None]], None]") -> None:
        self._link = link
        self._call = call

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        """Change what is named; the rest stays. A rate of 0 ends the limit.

        Raises:
            LabError: a value is negative, or no number.
        """
        for name, value in (("latency", latency), ("jitter", jitter), ("rate", rate)):
            if value is not None and not 0 <= value < float("inf"):
                raise LabError(f"The {name} of a link cannot be {value}: it must be 0 or more.")
        self._call(lambda: self._link.change(latency=latency, jitter=jitter, rate=rate))

    def cut(self) -> None:
        """Refuse connections, and end those that are open."""
        self._call(self._link.cut)

    def stop(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._call(self._link.stop)

    def reset(self, *, after: int | None = None) -> None:
        """End the connections that are open; with `after`, every connection when so many bytes of it have passed."""

        def change() -> None:
            self._link.break_after = after
            if after is None:
                self._link.reset()

        if after is not None and after < 0:
            raise LabError(f"A link cannot be reset after {after} bytes: it must be 0 or more.")
        self._call(change)

    def restore(self) -> None:
        """End a cut, a stop and resets to come. Latency, jitter and rate stay."""
        self._call(self._link.restore)

    @property
    def conditions(self) -> Conditions:
        return self._link.conditions

    @property
    def counters(self) -> Counters:
        return self._link.counters


class Router:
    """All links of one lab. `start` and `stop`, or a `with` block.

    Args:
        seed: of the jitter, which each link draws for itself.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="router", daemon=True)
        self._links: dict[tuple[int, int], RouterLink] = {}
        self._places: dict[tuple[str, int], int] = {}
        self._targets: dict[int, int] = {}  # node: port on 127.0.0.1
        self._ports: dict[int, int] = {}
        self._diverted: dict[int, int] = {}  # node: port on 127.0.0.1
        self._voices: dict[int, int] = {}  # node: port of the router
        self._servers: list[asyncio.Server] = []
        self._open: dict[int, set[asyncio.Task[None]]] = {}
        self._spawned: set[asyncio.Task[object]] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all connections, and the router's thread. Safe to repeat."""
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CALL_SECONDS)
        if not self._thread.is_alive() and not self._loop.is_closed():
            self._loop.close()

    def add(self, node: int, host: str, port: int, own_port: int = 0) -> int:
        """Make a node known by the place of its public URL, and give it a port of its own here.

        Args:
            own_port: the port here; 0: any that is free. A node that has one already keeps it.

        Returns:
            the port, for the node's `QUARRY_PEER_PROXY`.

        Raises:
            LabError: the place is not on this machine, or belongs to another node; or the port here is taken.
        """
        if host not in _LOOPBACK:
            raise LabError(f"A node of a lab is on this machine; {host} is not.")
        return self._do(self._add(node, port, own_port))

    def redirect(self, node: int, port: int | None) -> None:
        """Have another port of this machine get the requests to a node; None: the node itself."""
        self.port_of(node)
        own = next(place[1] for place, known in self._places.items() if known == node)
        self._call(lambda: self._targets.__setitem__(node, own if port is None else port))

    def divert(self, node: int, port: int | None) -> None:
        """Have a port of this machine get all requests of a node, over no link; None: they go where they are sent."""
        self.port_of(node)

        def change() -> None:
            self._diverted.pop(node, None)
            if port is not None:
                self._diverted[node] = port

        self._call(change)

    def voice(self, node: int) -> int:
        """Another port of a node here, for whoever speaks in its place: requests to it are never diverted."""
        self.port_of(node)
        if node not in self._voices:
            self._voices[node] = self._do(self._listen(node, diverts=False))
        return self._voices[node]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the router's loop, and wait for it."""
        return self._do(work)

    def spawn(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin something in the router's loop. It ends with the router."""

        def begin() -> None:
            task = self._loop.create_task(work)
            self._spawned.add(task)
            task.add_done_callback(self._spawned.discard)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the router has ended
            work.close()

    def port_of(self, node: int) -> int:
        """The port of a node here. Raises `LabError`: it has none."""
        try:
            return self._ports[node]
        except KeyError:
            raise LabError(f"The router knows no node {node}.") from None

    def link(self, a: int, b: int) -> LinkHandle:
        """What `b` hears from `a`. Raises `LabError`: there is no such node, or it is one and the same."""
        for node in (a, b):
            self.port_of(node)
        if a == b:
            raise LabError(f"A node has no link to itself: {a}.")
        return LinkHandle(self._link(a, b), self._call)

    def links(self) -> Iterable[tuple[int, int]]:
        """All pairs of nodes, in order."""
        return [(a, b) for a in sorted(self._ports) for b in sorted(self._ports) if a != b]

    def heal(self) -> None:
        """End every cut and every stop."""

        def change() -> None:
            for link in self._links.values():
                link.restore()

        self._call(change)

    # --- in the loop's thread ---

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _add(self, node: int, port: int, own_port: int) -> int:
        for name in _LOOPBACK:  # all names of this machine mean the same node
            if self._places.get((name, port), node) != node:
                raise LabError(f"Another node of the lab is at port {port}.")
        for place in [place for place, known in self._places.items() if known == node]:
            del self._places[place]
        self._places |= {(name, port): node for name in _LOOPBACK}
        self._targets[node] = port
        if node not in self._ports:
            for other in self._ports:
                self._link(node, other)
                self._link(other, node)
            self._open[node] = set()
            self._ports[node] = await self._listen(node, diverts=True, own_port=own_port)
        return self._ports[node]

    async def _listen(self, node: int, *, diverts: bool, own_port: int = 0) -> int:
        """Take a node's requests; the port."""
        try:
            sock = socket.create_server(("127.0.0.1", own_port), backlog=MAX_CONNECTIONS)
        except OSError as error:
            raise LabError(f"The port {own_port} is not free: {error.strerror}.") from None

        def route(host: str, port: int) -> Route | None:
            return self._inward(node) if diverts and node in self._diverted else self._route(node, host, port)

        server = await asyncio.start_server(
            lambda reader, writer: self._accept(node, reader, writer, route), sock=sock, limit=READ_AHEAD
        )
        self._servers.append(server)
        found: int = sock.getsockname()[1]
        return found

    def _link(self, a: int, b: int) -> RouterLink:
        if (a, b) not in self._links:
            self._links[a, b] = RouterLink(random.Random(f"{self._seed} {a} {b}"))
        return self._links[a, b]

    def _accept(
        self,
        node: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        route: Callable[[str, int], Route | None],
    ) -> None:
        tasks = self._open[node]
        if len(tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        connection = ClientConnection(reader, writer, route)
        task = self._loop.create_task(connection.serve())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _route(self, node: int, host: str, port: int) -> Route | None:
        asked = self._places.get((host, port))
        if asked is None:
            return None
        return Route(self._targets[asked], self._link(node, asked), self._link(asked, node))

    def _inward(self, node: int) -> Route:
        """The way to the node's own front."""
        return Route(self._diverted[node], RouterLink(random.Random(0)), RouterLink(random.Random(0)))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await asyncio.sleep(0)  # a connection that was accepted just now is closed by its task only once that runs
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- from other threads ---

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    def _call(self, change: Callable[[], None]) -> None:
        async def work() -> None:
            change()
            await asyncio.sleep(0)  # what was cancelled has ended

        self._do(work())
