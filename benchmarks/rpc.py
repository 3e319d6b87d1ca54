"""JSON-RPC: raw transactions accepted and mined, reads, and single transactions until their receipt.

Compared with two bare prototypes (`benchmarks.bare_rpc`), which are the least that Python can do for a request, and
with anvil and ganache. The prototypes run beside the node and take turns with it, so that a busy machine slows all of
them. The rivals are installed with npm. A rival that cannot be installed is left out, with a note. They keep everything
in memory, while a Quarry node syncs each transaction to the disk before it acknowledges it. The same client, on the
same cores, asks all of them.
"""

import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import repeat

from benchmarks import admission, bare_rpc, snapshots
from benchmarks.node import BenchNode
from benchmarks.report import Plot, Result, Series
from benchmarks.rivals import installed, started
from benchmarks.rpc_client import Measured, Target, load, read_answer
from services.wallet.development import ACCOUNTS
from shared import ethereum

CONNECTIONS = 8
TRANSACTIONS = 6_000
SECONDS = 5.0  # per kind of read
TURNS = 3
SINGLE = 200  # transactions that are sent one after the other, each awaited
# Transactions for the rivals: as many as they mine within some seconds. Ganache takes 3 ms for each.
ANVIL, GANACHE = 2_000, 600
_TOKEN = "0x0000000000000000000000000000000000005eed"
# The code of a stand-in for the token on the rivals: it returns the storage slot that its first argument names.
_CODE = "0x6004355460005260206000f3"
# A difficulty at which no machine finishes the round meanwhile.
_ENDLESS = 2**60
_PAUSE = 0.02  # seconds that a paced connection waits between two requests: 400/s in all
_KINDS = ("send", "mined", "getBalance", "balanceOf")


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "rpc". Targets are for two cores, the client included."""
    result = Result("rpc")
    seconds = 2.0 if quick else SECONDS
    shown: dict[str, dict[str, float]] = {}
    with BenchNode(settings={"AUTOMINE": "true"}) as node, bare_rpc.started() as bare:
        ours = Target("quarry", node.port, "/rpc", 847731, _TOKEN, TRANSACTIONS // 3)
        bare.transactions = ours.transactions
        turns = [_turn(ours, bare, turn, seconds, say) for turn in range(1 if quick else TURNS)]
        shown["quarry"] = {kind: statistics.median(turn[f"quarry {kind}"] for turn in turns) for kind in _KINDS}
        singles = {"quarry": _one_by_one(ours, len(turns) * ours.transactions // len(ACCOUNTS))}
        say(f"quarry: back by {snapshots.BLOCKS} blocks")
        back = {"quarry": snapshots.measure(ours)}
    for name, note in _rivals(seconds, say, shown, singles, back):
        result.notes.append(f"{name} is left out: {note}")
    reads = statistics.median(turn["prototype getBalance"] for turn in turns)
    sends = statistics.median(turn["prototype send"] for turn in turns)
    result.add("prototype_reads_per_second", reads, "requests/s", than="granian, WSGI, one Redis round trip")
    result.add("prototype_sends_per_second", sends, "requests/s", than="one signature, one script, appendfsync always")
    for kind, target in (("getBalance", 0.85), ("send", 0.8), ("mined", 0.8)):
        than = "prototype send" if kind == "mined" else f"prototype {kind}"
        ratio = statistics.median(turn[f"quarry {kind}"] / turn[than] for turn in turns)
        result.add(f"{kind}_to_prototype", ratio, "times", target=target, than="median of the turns")
    for name, figures in shown.items():
        ours_ = name == "quarry"
        for key, unit, wanted in (
            ("send", "transactions/s", 1500.0),
            ("mined", "transactions/s", 1200.0),
            ("getBalance", "requests/s", 3000.0),
            ("balanceOf", "requests/s", 3000.0),
        ):
            than = "accepted and durable" if ours_ and key == "send" else ""
            result.add(f"{name}_{key}_per_second", figures[key], unit, target=wanted if ours_ else None, than=than)
    for name, delay in singles.items():
        than = "one transaction at a time, from sending to its receipt, median"
        most = 20.0 if name == "quarry" else None
        result.add(f"{name}_receipt_ms", delay, "ms", target=most, better="lower", than=than)
    for name, delay in back.items():
        most = 100.0 if name == "quarry" else None
        than = f"evm_snapshot and evm_revert, {snapshots.BLOCKS} blocks between them, median"
        result.add(f"{name}_snapshot_and_revert_ms", delay, "ms", target=most, better="lower", than=than)
    _while_searching(result, seconds, say)
    say("admission alone")
    admission.measure(result)
    result.notes.append(f"{CONNECTIONS} connections, client included, on {os.cpu_count()} cores; rivals are in memory")
    result.plots.append(
        Plot("rpc", "JSON-RPC, client included; the rivals are in memory", "",
             "a second", [Series(name, range(4), [figures[key] for key in _KINDS]) for name, figures in shown.items()],
             kinds=_KINDS)
    )  # fmt: skip
    return [result]


def _turn(ours: Target, bare: Target, turn: int, seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    """One turn of the prototypes and the node."""
    say(f"turn {turn + 1}: the prototypes, {bare.transactions} raw transactions")
    sent = load(bare.port, _signed(bare, turn))
    figures = {"prototype send": _without_error(bare, sent).rate}
    figures |= {f"quarry {kind}": value for kind, value in _measure(ours, turn, seconds, say).items()}
    say("prototype: reads")
    request = bare.request("eth_getBalance", ACCOUNTS[3].address, "latest")
    read = load(bare.port, [repeat(request)] * CONNECTIONS, seconds=seconds)
    return figures | {"prototype getBalance": _without_error(bare, read).rate}


def _measure(target: Target, turn: int, seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    say(f"{target.name}: {target.transactions} raw transactions")
    queues = _signed(target, turn)
    began = time.perf_counter()
    sent = _without_error(target, load(target.port, queues))
    _await_nonces(target, (turn + 1) * target.transactions // len(ACCOUNTS))
    mined = target.transactions / (time.perf_counter() - began)
    say(f"{target.name}: reads")
    address = ACCOUNTS[3].address
    balance = target.request("eth_getBalance", address, "latest")
    data = "0x70a08231" + "00" * 12 + address[2:].lower()
    call = target.request("eth_call", {"to": target.contract, "data": data}, "latest")
    reads = [load(target.port, [repeat(one)] * CONNECTIONS, seconds=seconds) for one in (balance, call)]
    return {"send": sent.rate, "mined": mined, "getBalance": reads[0].rate, "balanceOf": reads[1].rate}


def _without_error(target: Target, measured: Measured) -> Measured:
    if measured.error:
        raise RuntimeError(f"{target.name} refused a request: {measured.error!r}")
    return measured


def _await_nonces(target: Target, nonce: int) -> None:
    """Wait until every account's transactions up to `nonce` are mined."""
    deadline = time.perf_counter() + 120
    while any(int(target.call("eth_getTransactionCount", item.address, "latest"), 16) < nonce for item in ACCOUNTS):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{target.name} has not mined all transactions within two minutes")
        time.sleep(0.01)
        if target.nudge:
            target.call(target.nudge)


def _signed(target: Target, turn: int) -> list[Iterator[bytes]]:
    """Requests for each connection. Those of one account are on one connection, with ascending nonces."""
    queues: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    each = target.transactions // len(ACCOUNTS)
    for nonce in range(turn * each, (turn + 1) * each):
        for number in range(len(ACCOUNTS)):
            queues[number % CONNECTIONS].append(_send(target, number, nonce))
    return [iter(queue) for queue in queues]


def _send(target: Target, number: int, nonce: int) -> bytes:
    """A request that sends a transfer from the development account `number`."""
    raw = ethereum.sign_raw(
        private_key=bytes.fromhex(ACCOUNTS[number].private_key[2:]),
        chain_id=target.chain_id,
        nonce=nonce,
        to=ACCOUNTS[number - 1].address,
        gas=21_000,
        gas_price=10**10,
        value=1,
        envelope=ethereum.LEGACY,
    )
    return target.request("eth_sendRawTransaction", "0x" + raw.hex())


def _one_by_one(target: Target, nonce: int) -> float:
    """Milliseconds from sending a transaction to its receipt, the median of SINGLE on one connection."""
    delays = []
    requests = [_send(target, 0, nonce + i) for i in range(SINGLE)]
    with socket.create_connection(("127.0.0.1", target.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            began = time.perf_counter()
            connection.sendall(request)
            found = read_answer(connection)
            if b'"error"' in found:
                raise RuntimeError(f"{target.name} refused a transaction: {found!r}")
            ask = target.request("eth_getTransactionReceipt", found.partition(b'"result":"')[2][:66].decode())
            while b'"result":null' in found or b"blockHash" not in found:
                connection.sendall(ask)
                found = read_answer(connection)
            delays.append(1000 * (time.perf_counter() - began))
    return statistics.median(delays)


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


def _rivals(
    seconds: float,
    say: Callable[[str], None],
    shown: dict[str, dict[str, float]],
    singles: dict[str, float],
    back: dict[str, float],
) -> Iterator[tuple[str, str]]:
    """Measure the rivals that can be installed; yield name and reason of each one that cannot."""
    # After a burst, anvil leaves transactions in its pool until it is asked to make a block.
    for name, package, set_code, nudge, transactions in (
        ("anvil", "@foundry-rs/anvil", "anvil_setCode", "evm_mine", ANVIL),
        ("ganache", "ganache", "evm_setAccountCode", "", GANACHE),
    ):
        try:
            with installed(package, say) as directory, started(name, directory) as (port, chain_id):
                target = Target(name, port, "/", chain_id, _TOKEN, transactions, nudge)
                target.call(set_code, _TOKEN, _CODE)
                shown[name] = _measure(target, 0, seconds, say)
                singles[name] = _one_by_one(target, transactions // len(ACCOUNTS))
                back[name] = snapshots.measure(target)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            yield name, str(error).splitlines()[0][:200]
