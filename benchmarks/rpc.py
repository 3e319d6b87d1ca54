"""JSON-RPC compared with anvil and ganache: raw transactions accepted and mined, and reads, also during a search.

The rivals are installed with npm. A rival that cannot be installed is left out, with a note. They keep everything in
memory, while a Quarry node syncs each transaction to the disk before it acknowledges it. The same client, on the same
cores, asks all of them.
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import admission
from benchmarks.node import BenchNode, free_port
from benchmarks.report import Plot, Result, Series
from services.system.programs import scrubbed
from services.wallet.development import ACCOUNTS
from shared import ethereum

CONNECTIONS = 8
TRANSACTIONS = 6_000
SECONDS = 5.0  # per kind of read
# Transactions for the rivals: as many as they mine within some seconds. Ganache takes 3 ms for each.
ANVIL, GANACHE = 2_000, 600
_PHRASE = "test test test test test test test test test test test junk"
_TOKEN = "0x0000000000000000000000000000000000005eed"
# The code of a stand-in for the token on the rivals: it returns the storage slot that its first argument names.
_CODE = "0x6004355460005260206000f3"
# A difficulty at which no machine finishes the round meanwhile.
_ENDLESS = 2**60
_PAUSE = 0.02  # seconds that a paced connection waits between two requests: 400/s in all


@dataclass
class Measured:
    """The result of one load."""

    answered: int
    seconds: float
    delays: list[float] = field(repr=False)  # seconds from each request to its answer, ascending
    error: bytes = b""  # the first answer that is an error; empty without one

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def percentile(self, rank: float) -> float:
        """The percentile `rank` of the delays, in milliseconds."""
        return 1000 * self.delays[min(int(len(self.delays) * rank / 100), len(self.delays) - 1)]


@dataclass
class Target:
    """One node, of Quarry or of a rival."""

    name: str
    port: int
    path: str
    chain_id: int
    contract: str
    transactions: int
    nudge: str = ""  # a method that makes a block, for a node that does not mine all that waits without it

    def request(self, method: str, *params: Any) -> bytes:
        """A whole HTTP request."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def call(self, method: str, *params: Any) -> Any:
        """One call's result."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(self.request(method, *params))
            answer = json.loads(_read(connection))
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {method}: {answer['error']}")
        return answer["result"]


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "rpc". Targets are for two cores, the client included."""
    result = Result("rpc")
    seconds = 2.0 if quick else SECONDS
    count = TRANSACTIONS // 3 if quick else TRANSACTIONS
    shown: dict[str, dict[str, float]] = {}
    with BenchNode(settings={"AUTOMINE": "true"}) as node:
        ours = Target("quarry", node.port, "/rpc", 847731, _TOKEN, count)
        shown["quarry"] = _measure(ours, seconds, say)
    for name, note in _rivals(seconds, say, shown):
        result.notes.append(f"{name} is left out: {note}")
    for name, figures in shown.items():
        ours_ = name == "quarry"
        for key, unit, target in (
            ("send", "transactions/s", 1500.0),
            ("mined", "transactions/s", 1200.0),
            ("getBalance", "requests/s", 3000.0),
            ("balanceOf", "requests/s", 3000.0),
        ):
            than = "accepted and durable" if ours_ and key == "send" else ""
            result.add(f"{name}_{key}_per_second", figures[key], unit, target=target if ours_ else None, than=than)
    _while_searching(result, seconds, say)
    say("admission alone")
    admission.measure(result)
    result.notes.append(f"{CONNECTIONS} connections, client included, on {os.cpu_count()} cores; rivals are in memory")
    kinds = ["send", "mined", "getBalance", "balanceOf"]
    result.plots.append(
        Plot("rpc", "JSON-RPC, client included; the rivals are in memory", "",
             "a second", [Series(name, range(4), [figures[key] for key in kinds]) for name, figures in shown.items()],
             kinds=kinds)
    )  # fmt: skip
    return [result]


def _measure(target: Target, seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    say(f"{target.name}: {target.transactions} raw transactions")
    queues = _signed(target)
    began = time.perf_counter()
    sent = load(target.port, queues)
    if sent.error:
        raise RuntimeError(f"{target.name} refused a transaction: {sent.error!r}")
    each = target.transactions // len(ACCOUNTS)
    while any(int(target.call("eth_getTransactionCount", item.address, "latest"), 16) < each for item in ACCOUNTS):
        if time.perf_counter() - began > 120:
            raise RuntimeError(f"{target.name} has not mined all transactions within two minutes")
        time.sleep(0.01)
        if target.nudge:
            target.call(target.nudge)
    mined = target.transactions / (time.perf_counter() - began)
    say(f"{target.name}: reads")
    address = ACCOUNTS[3].address
    balance = target.request("eth_getBalance", address, "latest")
    data = "0x70a08231" + "00" * 12 + address[2:].lower()
    call = target.request("eth_call", {"to": target.contract, "data": data}, "latest")
    reads = [load(target.port, [repeat(one)] * CONNECTIONS, seconds=seconds) for one in (balance, call)]
    return {"send": sent.rate, "mined": mined, "getBalance": reads[0].rate, "balanceOf": reads[1].rate}


def _signed(target: Target) -> list[Iterator[bytes]]:
    """Requests for each connection. Those of one account are on one connection, with ascending nonces."""
    queues: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    for nonce in range(target.transactions // len(ACCOUNTS)):
        for number, account in enumerate(ACCOUNTS):
            raw = ethereum.sign_raw(
                private_key=bytes.fromhex(account.private_key[2:]),
                chain_id=target.chain_id,
                nonce=nonce,
                to=ACCOUNTS[number - 1].address,
                gas=21_000,
                gas_price=10**10,
                value=1,
                envelope=ethereum.LEGACY,
            )
            queues[number % CONNECTIONS].append(target.request("eth_sendRawTransaction", "0x" + raw.hex()))
    return [iter(queue) for queue in queues]


def _while_searching(result: Result, seconds: float, say: Callable[[str], None]) -> None:
    """The delay of reads at a moderate pace, on an idle node and while all cores search for a proof."""
    with BenchNode(workers=os.cpu_count() or 1, difficulty=_ENDLESS) as node:
        target = Target("quarry", node.port, "/rpc", 990_001, _TOKEN, 0)
        queues = [repeat(target.request("eth_getBalance", ACCOUNTS[0].address, "latest"))] * CONNECTIONS
        load(node.port, queues, seconds=1)
        say("reads at rest")
        idle = load(node.port, queues, seconds=2 * seconds, pause=_PAUSE)
        node.post("/mine?wait=0")
        deadline = time.monotonic() + 30
        while not node.get("/status")["hashes"] and time.monotonic() < deadline:
            time.sleep(0.1)
        say("reads while a round is searched")
        busy = load(node.port, queues, seconds=2 * seconds, pause=_PAUSE)
    result.add("p99_idle_ms", idle.percentile(99), "ms", better="lower", than="eth_getBalance, 400/s")
    result.add("p99_searching_ms", busy.percentile(99), "ms", better="lower", than="a search on every core")
    result.add("p99_ratio", busy.percentile(99) / idle.percentile(99), "times", target=3.0, better="lower")


# --- Rivals ----------------------------------------------------------------------------------------------------------


def _rivals(
    seconds: float, say: Callable[[str], None], shown: dict[str, dict[str, float]]
) -> Iterator[tuple[str, str]]:
    """Measure the rivals that can be installed; yield name and reason of each one that cannot."""
    # After a burst, anvil leaves transactions in its pool until it is asked to make a block.
    for name, package, set_code, nudge, transactions in (
        ("anvil", "@foundry-rs/anvil", "anvil_setCode", "evm_mine", ANVIL),
        ("ganache", "ganache", "evm_setAccountCode", "", GANACHE),
    ):
        try:
            with _installed(package, say) as directory, _started(name, directory) as (port, chain_id):
                target = Target(name, port, "/", chain_id, _TOKEN, transactions, nudge)
                target.call(set_code, _TOKEN, _CODE)
                shown[name] = _measure(target, seconds, say)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            yield name, str(error).splitlines()[0][:200]


@contextmanager
def _installed(package: str, say: Callable[[str], None]) -> Iterator[Path]:
    if shutil.which("npm") is None:
        raise RuntimeError("npm is not installed")
    with TemporaryDirectory(prefix="quarry-bench-") as directory:
        say(f"installing {package}")
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--loglevel=error", package]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise RuntimeError(f"npm cannot install {package}")
        yield Path(directory)


@contextmanager
def _started(name: str, directory: Path) -> Iterator[tuple[int, int]]:
    """Run a rival with the development accounts; yield its port and chain id."""
    port = free_port()
    program = str(directory / "node_modules" / ".bin" / name)
    if not Path(program).exists():
        raise RuntimeError(f"the package has no program {name} for this machine")
    command = {
        "anvil": [program, "--port", str(port), "--silent", "--mnemonic", _PHRASE],
        "ganache": [program, "--server.port", str(port), "--logging.quiet", "--wallet.mnemonic", _PHRASE],
    }[name]
    process = subprocess.Popen(
        command, env=scrubbed(os.environ), cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        target = Target(name, port, "/", 0, "", 0)
        deadline = time.monotonic() + 60
        while True:
            try:
                chain_id = int(target.call("eth_chainId"), 16)
                break
            except (OSError, RuntimeError, ValueError):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} did not start") from None
                time.sleep(0.1)
        yield port, chain_id
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- The client ------------------------------------------------------------------------------------------------------


class _Lane:
    """One connection. Its next request is sent once the one before is answered."""

    def __init__(self, port: int, queue: Iterator[bytes]) -> None:
        self.queue = queue
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent = 0.0
        self.due = 0.0  # when a paced connection sends its next request


def load(port: int, queues: Sequence[Iterator[bytes]], *, seconds: float | None = None, pause: float = 0.0) -> Measured:
    """Send each queue over a connection of its own, until all are empty or the time is up. One thread does it all."""
    lanes = [_Lane(port, iter(queue)) for queue in queues]
    selector = selectors.DefaultSelector()
    measured = Measured(0, 0.0, [])
    began = time.perf_counter()
    end = None if seconds is None else began + seconds
    waiting: list[_Lane] = []
    open_lanes = 0
    for lane in lanes:
        selector.register(lane.socket, selectors.EVENT_READ, lane)
        open_lanes += _next(lane, end)
    while open_lanes:
        now = time.perf_counter()
        for lane in [lane for lane in waiting if lane.due <= now]:
            waiting.remove(lane)
            open_lanes += _next(lane, end) - 1
        timeout = max(0.0, min(lane.due for lane in waiting) - now) if waiting else 60.0
        for key, _ in selector.select(timeout if open_lanes else 0):
            lane = key.data
            body = _received(lane)
            if body is None:
                continue
            measured.answered += 1
            measured.delays.append(time.perf_counter() - lane.sent)
            if b'"error"' in body and not measured.error:
                measured.error = body
            if pause:
                lane.due = time.perf_counter() + pause
                waiting.append(lane)
            else:
                open_lanes += _next(lane, end) - 1
    measured.seconds = time.perf_counter() - began
    for lane in lanes:
        lane.socket.close()
    measured.delays.sort()
    return measured


def _next(lane: _Lane, end: float | None) -> int:
    """Send a connection's next request; 1, or 0 if it has none left."""
    now = time.perf_counter()
    request = next(lane.queue, None) if end is None or now < end else None
    if request is None:
        return 0
    lane.sent = now
    lane.socket.sendall(request)
    return 1


def _received(lane: _Lane) -> bytes | None:
    """Read what was received; the body, once it is complete."""
    part = lane.socket.recv(65536)
    if not part:
        raise RuntimeError("the node closed a connection")
    lane.buffer += part
    body = _whole(lane.buffer)
    if body is not None:
        lane.buffer = b""
    return body


def _whole(buffer: bytes) -> bytes | None:
    head, separator, body = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return body if len(body) >= length else None


def _read(connection: socket.socket) -> bytes:
    buffer = b""
    while (body := _whole(buffer)) is None:
        part = connection.recv(65536)
        if not part:
            raise RuntimeError("the node closed the connection")
        buffer += part
    return body
