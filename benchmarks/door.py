"""The door for wallets: reads beside `/rpc` on the API, new heads at 500 subscribers, memory of 1,000 idle WebSockets.

All in one run, the client included. A head's delay is the time from the return of the append, in the process that
appends, until the subscriber's socket can be read in the client's process; both have one clock.
"""

import os
import selectors
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import Any

from benchmarks.node import BenchNode, free_port
from benchmarks.report import Result
from benchmarks.rpc import CONNECTIONS, Target, load
from services.connections.servers import as_store
from services.jobs.queues import RqJobs
from services.mining.templates import TemplateMaker
from services.node import Node, build_node
from services.settings.table import load as load_settings
from services.system.programs import module_command
from services.wallet.development import ACCOUNTS
from worker.kernel.plain import PlainKernel

SUBSCRIBERS = 500
IDLE = 1_000
HEADS = 100
# Seconds between two blocks: a head is told to all before the next block.
_PAUSE = 0.1
_TOKEN = "0x0000000000000000000000000000000000005eed"
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "door". Targets are for two cores, the client included."""
    result = Result("door")
    seconds, heads = (2.0, 30) if quick else (5.0, HEADS)
    with BenchNode(difficulty=1) as bench, running_door(bench) as (port, pid):
        _reads(result, bench, port, seconds, say)
        _memory(result, port, pid, say)
        _heads(result, bench, port, heads, say)
    result.notes.append(f"client included, on {os.cpu_count()} cores; {CONNECTIONS} connections for reads")
    return [result]


@contextmanager
def running_door(bench: BenchNode) -> Iterator[tuple[int, int]]:
    """Run the node's door; yield its port and its process id."""
    port = free_port()
    bench.environment["QUARRY_RPC_PORT"] = str(port)
    bench._launch("rpc", module_command("api.cli", "rpc"))
    target = Target("door", port, "/", 0, "", 0)
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError):
            target.call("eth_chainId")
            break
        if time.monotonic() > deadline:
            raise RuntimeError("the door did not start")
        time.sleep(0.05)
    yield port, bench.processes["rpc"].pid


def _reads(result: Result, bench: BenchNode, port: int, seconds: float, say: Callable[[str], None]) -> None:
    """Reads at both servers in turns, each the median of three."""
    found: dict[str, list[float]] = {"door": [], "api": []}
    delays: list[float] = []
    for turn in range(4):
        for name, at, path in (("door", port, "/"), ("api", bench.port, "/rpc")):
            say(f"reads at {name}")
            target = Target(name, at, path, 0, _TOKEN, 0)
            request = target.request("eth_getBalance", ACCOUNTS[0].address, "latest")
            measured = load(at, [repeat(request)] * CONNECTIONS, seconds=1.0 if turn == 0 else seconds)
            if measured.error:
                raise RuntimeError(f"{name} answered {measured.error!r}")
            if turn:  # the first one warms up
                found[name].append(measured.rate)
                if name == "door":
                    delays.append(measured.percentile(99))
    result.add(
        "getBalance_per_second", statistics.median(found["door"]), "requests/s", target=6_000.0, than="HTTP at the door"
    )
    result.add("api_getBalance_per_second", statistics.median(found["api"]), "requests/s", than="/rpc on the API")
    result.add(
        "getBalance_p99_ms", statistics.median(delays), "ms", better="lower", than="at the door, under this load"
    )


def _memory(result: Result, port: int, pid: int, say: Callable[[str], None]) -> None:
    say(f"{IDLE} idle WebSockets")
    before = _resident(pid)
    sockets = [_open(port) for _ in range(IDLE)]
    time.sleep(1.0)
    result.add("idle_sockets_mb", (_resident(pid) - before) / 1e6, "MB", target=60.0, better="lower",
               than=f"{IDLE} WebSockets, over {before / 1e6:.0f} MB before")  # fmt: skip
    for one in sockets:
        one.close()
    time.sleep(1.0)


def _heads(result: Result, bench: BenchNode, port: int, heads: int, say: Callable[[str], None]) -> None:
    say(f"{heads} heads for {SUBSCRIBERS} subscribers")
    subscribe = _frame(b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}')
    sockets = [_open(port) for _ in range(SUBSCRIBERS)]
    selector = selectors.DefaultSelector()
    for one in sockets:
        one.sendall(subscribe)
        if b'"result"' not in one.recv(4096):
            raise RuntimeError("the door refused a subscription")
        one.setblocking(False)
        selector.register(one, selectors.EVENT_READ)
    node = _node(bench)
    delays: list[float] = []
    last: list[float] = []
    for turn in range(heads + 5):
        sealed = _sealed(node)
        node.acceptor.accept(sealed)
        began = time.perf_counter()
        waiting = SUBSCRIBERS
        found = []
        while waiting:
            ready = selector.select(10)
            if not ready:
                raise RuntimeError(f"{waiting} subscribers were not told")
            for key, _ in ready:
                part: bytes = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                count = part.count(b'"eth_subscription"')
                waiting -= count
                found += [time.perf_counter() - began] * count
        if turn >= 5:  # the first ones warm up
            delays += found
            last.append(max(found))
        time.sleep(_PAUSE)
    for one in sockets:
        one.close()
    delays.sort()
    what = f"{SUBSCRIBERS} subscribers, {heads} heads"
    result.add("head_p50_ms", 1000 * delays[len(delays) // 2], "ms", better="lower", than=what)
    result.add("head_p99_ms", 1000 * delays[len(delays) * 99 // 100], "ms", target=20.0, better="lower", than=what)
    result.add("last_subscriber_p50_ms", 1000 * statistics.median(last), "ms", better="lower", than="of each head")


def _node(bench: BenchNode) -> Node:
    """The node in this process, to append blocks as a worker does."""
    settings = load_settings(bench.environment)
    store: Any = bench.redis
    return build_node(settings, store=as_store(store), queue=RqJobs(store))


def _sealed(node: Node) -> Any:
    template = TemplateMaker(node.chain, node.pool, node.rules, node.clock).make(node.settings.reward_address).template
    proof = PlainKernel().scan(template.seal, template.difficulty, 0, 10**6)
    if proof is None:
        raise RuntimeError("no proof was found")
    return node.rules.read_block(template.with_proof(proof))


def _open(port: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=30)
    one.sendall(_HANDSHAKE)
    if b" 101 " not in one.recv(4096):
        raise RuntimeError("the door refused a WebSocket")
    return one


def _frame(text: bytes) -> bytes:
    """A client's frame of less than 126 bytes, masked with zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


def _resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
