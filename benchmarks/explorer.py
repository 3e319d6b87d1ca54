"""The explorer on a chain of 100,000 blocks: time per page, size of the overview, and the cost of open streams.

The chain is written straight into the store, since mining it would take hours. Its links and heights are right; its
proofs are not, but no page checks them.
"""

import http.client
import json
import secrets
import selectors
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from benchmarks.node import BenchNode
from benchmarks.report import Result
from services.store.records import encode_header
from shared.block import Block, Header
from shared.canonical import canonical
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.reward import make_reward
from shared.transaction import sign

BLOCKS = 100_000
STREAMS = 100
_CHUNK = 2_000
_SUBMITTED = 200  # transactions per turn


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "explorer"."""
    result = Result("explorer")
    blocks, rounds = (10_000, 20) if quick else (BLOCKS, 60)
    with BenchNode(workers=1) as node:
        say(f"writing a chain of {blocks:,} blocks")
        fill(node, blocks)
        say("asking for every page")
        names = pages(node, blocks)
        for path in names.values():
            fetch(node, path)
        for name, path in names.items():
            times = [fetch(node, path)[0] for _ in range(rounds)]
            result.add(f"{name}_p95_ms", 1000 * statistics.quantiles(times, n=20)[18], "ms", target=50, better="lower")
        result.add("overview_kb", weight(node) / 1000, "kB in all", target=100, better="lower")
    with BenchNode(workers=0, settings={"API_PROCESSES": "2"}) as node:
        say(f"submitting, without and with {STREAMS} open streams")
        alone, beside = submission(node, rounds=3 if quick else 5)
        result.add("submit_alone", alone, "per second")
        result.add(f"submit_beside_{STREAMS}_streams", beside, "per second")
        result.add("streams_cost", max(0.0, 100 * (1 - beside / alone)), "%", target=20, better="lower")
    return [result]


def fill(node: BenchNode, blocks: int) -> None:
    """Write `blocks` blocks into the store, each with a reward only, ten seconds apart, up to the present."""
    keys, redis = node.keys, node.redis
    spec = node.get("/spec")
    tip = redis.hgetall(keys.tip)
    parent, first, work = tip[b"hash"].decode(), int(tip[b"height"]) + 1, int(tip[b"chainwork"])
    supply, begin = int(tip[b"supply"]), int(time.time()) - 10 * blocks
    root = "ab" * 32
    for start in range(first, first + blocks, _CHUNK):
        pipeline = redis.pipeline(transaction=False)
        for height in range(start, min(start + _CHUNK, first + blocks)):
            reward = make_reward(spec["chain_id"], height, node.key.address, 10**18)
            header = Header(height, begin + 10 * height, parent, spec["difficulty"], root, height, "")
            value = {**header.to_object(), "transactions": [reward.fields]}
            text = canonical(value)
            header = replace(header, hash=sha256(text).hex())
            block = Block(header, (reward,), text)
            work += header.difficulty
            supply += 10**18
            pipeline.hset(keys.blocks, block.hash, text)
            pipeline.hset(keys.headers, block.hash, encode_header(block, work))
            pipeline.rpush(keys.heights, block.hash)
            pipeline.hset(keys.ids, block.hash, bytes.fromhex(reward.id))
            pipeline.hset(keys.transactions, bytes.fromhex(reward.id), f"{height}:0")
            pipeline.rpush(keys.history(node.key.address), f"{height}:0")
            parent = block.hash
        last = {"hash": parent, "height": height, "chainwork": work, "supply": supply, "timestamp": header.timestamp}
        pipeline.hset(keys.tip, mapping={name: str(item) for name, item in last.items()})
        pipeline.execute()


def pages(node: BenchNode, blocks: int) -> dict[str, str]:
    """Name → path of every page."""
    middle = blocks // 2
    transaction = node.get(f"/blocks/{middle}")["transactions"][0]["id"]
    return {
        "overview": "/",
        "earlier": f"/?before={middle}",
        "block": f"/block/{middle}",
        "transaction": f"/tx/{transaction}",
        "address": f"/address/{node.key.address}?page={blocks // 50}",
        "pool": "/pool",
        "pool_by_age": "/pool?order=age",
        "network": "/network",
        "mining": "/mining",
        "learn": "/learn",
        "lesson": "/learn/block",
        "anatomy": "/learn/anatomy",
        "send": "/send",
        "search": f"/search?q={transaction}",
        "missing": f"/block/{10 * blocks}",
    }


def fetch(node: BenchNode, path: str) -> tuple[float, bytes]:
    """Seconds until a whole page was received, and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    connection.connect()
    started = time.perf_counter()
    connection.request("GET", path, headers={"Accept": "text/html"})
    body = connection.getresponse().read()
    spent = time.perf_counter() - started
    connection.close()
    return spent, body


def weight(node: BenchNode) -> int:
    """Bytes of the overview with all files that it loads."""
    page = fetch(node, "/")[1]
    files = {part.partition(b'"')[0].decode() for part in page.split(b'="')[1:] if part.startswith(b"/assets/")}
    return len(page) + sum(len(fetch(node, name)[1]) for name in files)


def submission(node: BenchNode, rounds: int) -> tuple[float, float]:
    """Transactions per second over one connection, without and with open streams, in turns. Medians."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * rounds):
        account = fund(node)
        signed = [transfer(account, nonce) for nonce in range(_SUBMITTED)]
        with streams(node, STREAMS if turn % 2 else 0):
            rates[bool(turn % 2)].append(submit(node, signed))
    return statistics.median(rates[False]), statistics.median(rates[True])


def fund(node: BenchNode) -> KeyPair:
    """A new account with coins. Its entry is written straight into the ledger."""
    key = KeyPair(secrets.token_bytes(32))
    node.redis.hset(node.keys.accounts, key.address, f"{10**24}:0")
    return key


def transfer(key: KeyPair, nonce: int) -> bytes:
    fields = {
        "type": "transfer", "chain_id": 847731, "nonce": nonce, "sender": key.address, "recipient": key.address,
        "amount": "1", "fee": "0.001",
    }  # fmt: skip
    return json.dumps(sign(fields, key)).encode()


def submit(node: BenchNode, signed: list[bytes]) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    started = time.perf_counter()
    for body in signed:
        connection.request("POST", "/transactions/new", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 201:
            raise RuntimeError(f"/transactions/new: {answer!r}")
    spent = time.perf_counter() - started
    connection.close()
    return len(signed) / spent


@contextmanager
def streams(node: BenchNode, count: int) -> Iterator[None]:
    """Keep `count` event streams open; one thread reads what they send."""
    opened: list[Any] = []
    over = threading.Event()

    def read() -> None:
        with selectors.DefaultSelector() as selector:
            for one in opened:
                selector.register(one.sock, selectors.EVENT_READ)
            while not over.is_set():
                for key, _ in selector.select(0.1):
                    key.fileobj.recv(65536)  # type: ignore[union-attr] # sockets were registered

    while len(opened) < count:
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        connection.request("GET", "/events")
        # Each server process has its own limit of streams; after a refusal, the next try may reach another process.
        if connection.getresponse().status == 200:
            opened.append(connection)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()
        for one in opened:
            one.close()
