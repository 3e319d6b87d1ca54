"""Signed transactions over HTTP, accepted and durable (`appendfsync always`), compared with a bare prototype."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.generator import Load, post, send
from benchmarks.node import BenchNode, free_port
from benchmarks.prototype import REDIS_URL
from benchmarks.report import Plot, Result, Series
from benchmarks.wallets import BATCH, Wallets
from services.launch.embedded import EmbeddedValkey
from services.system.programs import scrubbed
from shared.canonical import canonical
from shared.keys import KeyPair

CONNECTIONS = 32
SENDERS = 256
SINGLE = 4_000
BATCHED = 10_000
ROUNDS = 3


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "submission". The load generator shares the machine with the node."""
    result = Result("submission")
    rounds = 1 if quick else ROUNDS
    bare: list[float] = []
    single: list[float] = []
    batch: list[float] = []
    with BenchNode() as node, _prototype() as bare_port:
        say("paying the senders")
        wallets = Wallets(node, SENDERS)
        # Warm-up: connections, imports, the mempool's caches.
        _accepted(send(node.port, _requests(wallets.transfers(CONNECTIONS, SENDERS))))
        wallets.drain()
        for turn in range(rounds):
            say(f"turn {turn + 1} of {rounds}: prototype, one by one, by batches of {BATCH}")
            bare.append(_accepted(send(bare_port, _bare_requests(SINGLE, turn))))
            single.append(_accepted(send(node.port, _requests(wallets.transfers(CONNECTIONS, SINGLE)))))
            wallets.drain()
            batches = [
                [post("/transactions/batch", {"transactions": lane[i : i + BATCH]}) for i in range(0, len(lane), BATCH)]
                for lane in wallets.transfers(4, BATCHED)
            ]
            batch.append(_accepted(send(node.port, batches)))
            wallets.drain()
    ours, theirs = statistics.median(single), statistics.median(bare)
    cores = f"generator included, on {os.cpu_count()} cores"
    result.add(
        "prototype_per_second", theirs, "requests/s", than="Flask + granian + Valkey, 1 verification, 1 Lua write"
    )
    result.add("single_per_second", ours, "transactions/s", target=1500, than=cores)
    result.add("ratio_to_prototype", ours / theirs, "times", than="rules, mempool and strict JSON included")
    result.add("batch_per_second", statistics.median(batch), "transactions/s", target=5000, than=cores)
    result.plots.append(
        Plot("submission", "Signed transactions accepted and durable", "", "transactions a second",
             [Series("bare prototype", [0], [theirs]), Series("one by one", [1], [ours]),
              Series(f"batches of {BATCH}", [2], [statistics.median(batch)])])
    )  # fmt: skip
    return [result]


def _accepted(load: Load) -> float:
    if load.refused:
        raise RuntimeError(f"{load.refused} transactions were refused: {load.example!r}")
    return load.rate


def _requests(lanes: list[list[dict[str, object]]]) -> list[list[bytes]]:
    return [[post("/transactions/new", item) for item in lane] for lane in lanes]


def _bare_requests(count: int, turn: int) -> list[list[bytes]]:
    """Requests for the prototype, as large as signed transfers."""
    key = KeyPair(b"\x07" * 32)
    lanes: list[list[bytes]] = [[] for _ in range(CONNECTIONS)]
    for i in range(count):
        fields = {"type": "transfer", "chain_id": 847731, "nonce": i, "sender": key.address, "turn": turn}
        message = canonical({**fields, "recipient": "0x" + "5" * 40, "amount": "0.000000000000000001", "fee": "0"})
        signature = key.sign(message).hex()
        item = {"message": message.decode(), "public_key": key.public_key.hex(), "signature": signature}
        lanes[i % CONNECTIONS].append(post("/transactions/new", item))
    return lanes


@contextmanager
def _prototype() -> Iterator[int]:
    """Run the prototype on a Valkey of its own; yield its port."""
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory) / "valkey") as valkey:
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "benchmarks.prototype", str(port)],
            env=scrubbed(os.environ) | {REDIS_URL: valkey.near_url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _await(port, process)
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    body = json.dumps({})
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/", body)
            connection.getresponse().read()
            connection.close()
            return
        time.sleep(0.05)
    raise RuntimeError("the prototype does not answer")
