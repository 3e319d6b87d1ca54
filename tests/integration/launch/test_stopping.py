"""SIGTERM while a store is away: every process ends within two seconds, whatever it was doing.

All kinds of process run on one pair of stores, get SIGTERM at once, and are timed one by one. What another program has
of the processors meanwhile is not counted (stopwatch.py).
"""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from services import registry
from services.connections.servers import as_store
from services.jobs.queues import RESOLVE, RqJobs
from services.launch.children import Child
from services.launch.embedded import EmbeddedValkey
from services.node import build_node
from services.system.processes import family
from services.system.programs import module_command
from tests.support.commands import Running, launched
from tests.support.crew import Crew
from tests.support.door import Socket
from tests.support.listener import Listener
from tests.support.nodes import make_settings
from tests.support.processes import alive, children, linux_only, processes_of
from tests.support.raw_server import RawServer
from tests.support.running import SERVE
from tests.support.servers import connect, free_port
from tests.support.specs import make_spec
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

WITHIN = 2.0
ENDLESS = 2**60


class Tunnel(Listener):
    """Forwards connections to a port until it goes dark: then they stay open and no bytes come back."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._target = port
        self._dark = threading.Event()
        self._open: list[socket.socket] = []

    def go_dark(self) -> None:
        self._dark.set()

    def accepted(self, sock: socket.socket) -> None:
        self._open.append(sock)
        if not self._dark.is_set():
            try:
                outbound = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                sock.close()
                return
            self._open.append(outbound)
            self.start(self._pass_on, sock, outbound)
            self.start(self._pass_on, outbound, sock)

    def close_all(self) -> None:
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not self._dark.is_set():
                    target.sendall(data)


class Scene:
    """A node whose chain and broker are two stores, each behind a tunnel; its processes; and faults."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.chain = stack.enter_context(EmbeddedValkey(directory / "chain", durability="unsafe"))
        self.broker = stack.enter_context(EmbeddedValkey(directory / "broker", durability="unsafe"))
        # A stopped server does not end at SIGTERM.
        stack.callback(self._go_on)
        self._tunnels = {server: stack.enter_context(Tunnel(_port(server))) for server in (self.chain, self.broker)}
        self.redis, self.jobs = connect(self.chain), RqJobs(connect(self.broker))
        settings = make_settings(
            make_spec(difficulty=ENDLESS), redis_url=self.url(self.chain), broker_url=self.url(self.broker), linger=0.0
        )
        self.node = build_node(settings, store=as_store(self.redis), queue=self.jobs)
        self.node.chain.initialise()
        registry.register(as_store(self.jobs.broker), settings)
        self.port, self.rpc_port = free_port(), free_port()
        settings_of_api = {"port": str(self.port), "api_processes": "1", "api_threads": "16"}
        self.crew = stack.enter_context(
            Crew(
                directory,
                settings.redis_url,
                settings.spec,
                as_users_do=True,
                broker_url=settings.broker_url,
                rpc_port=str(self.rpc_port),
                data_dir=str(directory),
                **settings_of_api,
            )
        )

    def url(self, server: EmbeddedValkey) -> str:
        return server.url.replace(f":{_port(server)}/", f":{self._tunnels[server].port}/")

    def start(self) -> dict[str, Child]:
        """One process of each kind, all of them ready."""
        started = {
            "mining": self.crew.worker(),
            "network": self.crew.worker("network"),
            "ticker": self.crew.ticker(),
            "api": self.crew.run("api", SERVE),
            "rpc": self.crew.run("rpc", module_command("api.cli", "rpc")),
        }
        eventually(lambda: (self.jobs.mining_workers(), self.jobs.network_workers()) == (1, 1), 60, "the workers")
        eventually(lambda: self.answers("/readyz"), 60, "the API")
        eventually(lambda: self.answers("/readyz", self.rpc_port), 60, "the door")
        eventually(lambda: [*self.jobs.broker.scan_iter(match="rq:job:resolve-*")], what="a tick")
        return started

    def answers(self, path: str, port: int = 0) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def occupy(self, started: dict[str, Child], stack: ExitStack) -> None:
        """A search without an end, a resolver whose peer does not answer, a client that waits for a block, and a miner
        and a wallet that are told of new blocks.
        """
        silent = stack.enter_context(RawServer(lambda connection: connection.hang()))
        self.node.peers.add(silent.url)
        self.jobs.enqueue_network(RESOLVE, "node1", "resolve-now")
        waiting = threading.Thread(target=self.answers, args=("/mine?wait=15",))
        waiting.start()
        stack.callback(waiting.join)
        eventually(lambda: silent.connections, what="a resolver that waits")
        voucher = self.node.leases.vouchers.new("class").secret
        miner = stack.enter_context(socket.create_connection(("127.0.0.1", self.rpc_port), 20))
        head = f"GET /leases/news HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {voucher}\r\n\r\n"
        miner.sendall(head.encode())
        assert miner.recv(65_536).startswith(b"HTTP/1.1 200")
        wallet = stack.enter_context(Socket(self.rpc_port))
        wallet.subscribe("newHeads")
        for kind in ("mining", "network"):
            eventually(lambda kind=kind: children(started[kind].pid), what=f"a {kind} job")

    def ask_the_door(self, stack: ExitStack) -> None:
        """Requests to the door, more than it has threads: each waits for the store, or for a thread."""
        body = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}'
        fields = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d" % len(body)
        for _ in range(40):
            asking = stack.enter_context(socket.create_connection(("127.0.0.1", self.rpc_port), 20))
            asking.sendall(b"POST / HTTP/1.1\r\n%s\r\n\r\n%s" % (fields, body))
        assert self.answers("/healthz", self.rpc_port)  # it came last, so the others are being answered

    def misfortune(self, fault: str) -> None:
        servers = {"chain": [self.chain], "broker": [self.broker]}.get(fault, [self.chain, self.broker])
        for server in servers:
            assert server.pid is not None
            if fault == "dark":
                self._tunnels[server].go_dark()
            else:
                os.kill(server.pid, signal.SIGKILL if fault == "killed" else signal.SIGSTOP)

    def _go_on(self) -> None:
        for server in (self.chain, self.broker):
            if server.pid is not None:
                os.kill(server.pid, signal.SIGCONT)


def _port(server: EmbeddedValkey) -> int:
    return int(server.url.rpartition(":")[2].removesuffix("/0"))


def ended_after(processes: Mapping[str, Child | Running], tell: Callable[[], None]) -> dict[str, float]:
    """Seconds from SIGTERM to the end of each, without those for which it waited for a processor."""
    watches = {name: Stopwatch(process.pid) for name, process in processes.items()}
    tell()
    ended = dict[str, float]()

    def have_ended() -> bool:
        for name in processes.keys() - ended.keys():
            watches[name].look()
            # A process whose first thread has ended may still have others.
            if not alive(processes[name].pid) and processes[name].poll() is not None:
                ended[name] = round(watches[name].seconds(), 2)
        return len(ended) == len(processes)

    eventually(have_ended, 60, "the end of all")
    return ended


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


slow = pytest.mark.slow


@linux_only
@pytest.mark.parametrize(
    ("fault", "busy"),
    [
        ("stopped", True),
        ("killed", False),
        ("dark", True),
        pytest.param("killed", True, marks=slow),
        pytest.param("stopped", False, marks=slow),
        pytest.param("dark", False, marks=slow),
        pytest.param("chain", True, marks=slow),
        pytest.param("broker", True, marks=slow),
        pytest.param("broker", False, marks=slow),
    ],
)
def test_every_process_ends_in_time(tmp_path: Path, stack: ExitStack, fault: str, busy: bool) -> None:
    scene = Scene(tmp_path, stack)
    started = scene.start()
    if busy:
        scene.occupy(started, stack)
    scene.misfortune(fault)
    time.sleep(1.0)  # until they have noticed, and try again
    if busy:
        scene.ask_the_door(stack)
    assert all(process.poll() is None for process in started.values())
    family_before = set(family([process.pid for process in started.values()], [], {}))

    def tell() -> None:
        for process in started.values():
            process.terminate()

    seconds = ended_after(started, tell)
    assert max(seconds.values()) <= WITHIN, seconds
    assert {process.returncode for process in started.values()} == {0}
    eventually(lambda: not any(alive(pid) for pid in family_before), 2.0, "the end of their children")


@linux_only
def test_up_ends_in_time_while_its_store_stands_still(tmp_path: Path) -> None:
    with launched(tmp_path, as_users_do=True) as (process, _):
        [server] = [pid for pid, name in processes_of(tmp_path).items() if "valkey-server" in name]
        os.kill(server, signal.SIGSTOP)
        time.sleep(0.5)
        [seconds] = ended_after({"up": process}, process.terminate).values()
        assert process.returncode == 0
        assert processes_of(tmp_path) == {}
    assert seconds <= WITHIN
