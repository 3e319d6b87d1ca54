"""Serves the door: one process, one event loop."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog

from api.door.door import Door
from api.door.http import HttpConnection
from api.door.limits import MAX_CONNECTIONS
from api.door.watch import watch
from api.door.websocket import WebSocket
from api.serving import heap
from api.serving.startup import allow_files, require_servers
from services.connections.servers import RedisError, as_store, connect_for_requests, explain
from services.errors import BadSettings, StoreUnavailable
from services.jobs.queues import RqJobs
from services.launch.ports import PortTaken, reserved
from services.node import Node, build_node
from services.settings.hosts import bind_address
from services.settings.table import Settings
from services.settings.values import named
from services.system import logs, tracing

_log = structlog.get_logger(__name__)

# Connections that wait to be accepted.
_LINE = 1_024
# Seconds after SIGTERM for answers that are being made, and for clients to read that the node stops.
_STOP_SECONDS = 0.7
# Seconds to wait for a server before this one to let go of the port.
_PATIENCE = 1.5


def serve(settings: Settings) -> None:
    """Serve until told to stop.

    Raises:
        BadSettings: the host, the port or a server cannot be used, and waiting would not help.
        WrongChain: the store holds a chain of another spec.
        StoreUnavailable: no Redis answers.
    """
    logs.begin(settings)
    tracing.begin(settings, "rpc")
    address = named("QUARRY_HOST", bind_address, settings.host)
    require_servers(settings)
    allow_files(MAX_CONNECTIONS + 512)
    heap.configure()
    with (
        _listening(settings, address) as listener,
        connect_for_requests(settings.redis_url, settings.api_threads) as store,
        connect_for_requests(settings.broker_url, settings.api_threads) as broker,
    ):
        node = build_node(settings, store=as_store(store), queue=RqJobs(broker), broker=as_store(broker))
        try:
            node.chain.initialise()  # if the API has not done it yet
        except RedisError as error:
            raise StoreUnavailable(f"QUARRY_REDIS_URL: {explain(error)}.") from error
        node.clock.now()  # the first call waits for the store's clock
        sys.setswitchinterval(0.002)  # seconds: the loop must not wait long for a thread that computes
        _log.info("serving_rpc", address=address, port=listener.getsockname()[1])
        asyncio.run(_serve(node, listener))
        # Threads may still wait for the store, and nothing needs their answers.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


@contextmanager
def _listening(settings: Settings, address: str) -> Iterator[socket.socket]:
    where = f"Port {settings.rpc_port} on {settings.host}"
    try:
        with reserved(address, settings.rpc_port, patience=_PATIENCE) as port:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((address, port))
                listener.listen(_LINE)
                yield listener
    except PortTaken as error:
        raise BadSettings(f"{where} {error}; QUARRY_HOST and QUARRY_RPC_PORT name another.") from None
    except OSError as error:  # another process has just taken the port
        raise BadSettings(f"{where} cannot be used: {error.strerror}.") from None


async def _serve(node: Node, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    door = Door(node, loop)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    listener.setblocking(False)
    server = await loop.create_server(lambda: HttpConnection(door), sock=listener, backlog=_LINE)
    watching = loop.create_task(watch(door))
    await stopped.wait()
    server.close()
    await end(door)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


async def end(door: Door) -> None:
    """End all connections: answers that are being made are sent, and WebSockets are told that the node stops."""
    door.ending = True
    for one in tuple(door.sockets):
        one.go_away()
    deadline = door.loop.time() + _STOP_SECONDS
    while door.connections and door.loop.time() < deadline:
        for other in tuple(door.callers):
            other.go_away()
        await asyncio.sleep(0.02)
    everyone: list[HttpConnection | WebSocket] = [*door.callers, *door.sockets]
    for each in everyone:
        each.abort()
    door.pool.close()
    await asyncio.sleep(0)  # the connections are told that they are lost
