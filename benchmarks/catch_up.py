"""Catching up over real HTTP: one block behind on a long chain, a first sync, a deep reorganisation."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from redis import Redis

from benchmarks.node import BenchNode
from benchmarks.report import Result
from services.connections.servers import as_store
from services.jobs.queues import RqJobs
from services.node import Node, build_node
from services.peers.http import PeerRequest, Stream, SystemPeerHttp
from services.settings.table import load
from shared.block import Block
from shared.errors import NodeError
from shared.keys import KeyPair
from shared.transaction import sign

Answer = TypeVar("Answer")

LONG_CHAIN = 20_000
SYNC_BLOCKS, SYNC_TRANSACTIONS = 40, 500
DEPTH, REORG_TRANSACTIONS, TURNS = 100, 100, 3
KEYS = [KeyPair((5000 + i).to_bytes(32, "big")) for i in range(100)]


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Result "catch_up"."""
    result = Result("catch_up")
    length = LONG_CHAIN // 10 if quick else LONG_CHAIN
    with BenchNode(workers=0, upkeep=False, difficulty=1) as node:
        say(f"a chain of {length:,} blocks")
        one_behind(node, length, result)
    allocations = {key.address: "1000" for key in KEYS}
    with BenchNode(workers=0, upkeep=False, difficulty=1, allocations=allocations) as node:
        say(f"a first sync of {SYNC_BLOCKS * SYNC_TRANSACTIONS:,} transactions")
        peer = Peer(node, "follower")
        source = Source(node, KEYS)
        source.grow(SYNC_BLOCKS, SYNC_TRANSACTIONS)
        first_sync(peer, source, result)
        source.keys = KEYS[:50]
        turns = []
        for turn in range(TURNS):
            say(f"a reorganisation of depth {DEPTH}, {turn + 1} of {TURNS}")
            turns.append(reorganisation(Peer(node, f"turn{turn}", copied=True), source))
        _add(result, turns)
    return [result]


def one_behind(node: BenchNode, length: int, result: Result) -> None:
    """Two nodes have the same long chain; then one gets another block, and the other catches up."""
    source = Source(node, KEYS)
    node.redis.config_set("appendfsync", "no")  # while the chain is made
    source.grow(length - 1, 0)
    node.redis.config_set("appendfsync", "always")
    peer = Peer(node, "follower", copied=True)
    source.grow(1, 0)
    seconds = peer.resolve(source)
    result.add(
        "bytes", peer.http.bytes, "bytes", target=20_000, better="lower",
        than=f"a chain of {length:,} blocks, one behind; requests and answers, heads estimated",
    )  # fmt: skip
    result.add("requests", peer.http.requests, "requests", target=5, better="lower", than="the same")
    result.add("milliseconds", 1000 * seconds, "ms", than="from asking to the block on the chain")


def first_sync(peer: "Peer", source: "Source", result: Result) -> None:
    """A node that has only the genesis block fetches the whole chain."""
    seconds = peer.resolve(source)
    count = SYNC_BLOCKS * SYNC_TRANSACTIONS
    result.add(
        "sync_transactions_per_second", count / seconds, "transactions/s", target=5000,
        than=f"{count:,} signed transfers in {SYNC_BLOCKS} blocks, fetched, verified, durable",
    )  # fmt: skip


def reorganisation(peer: "Peer", source: "Source") -> tuple[float, float]:
    """Both nodes extend their chains with different transactions; then the follower adopts the heavier chain.

    Returns:
        seconds for all, and milliseconds of the longest script.
    """
    own = Source(None, KEYS[50:], peer.node)
    own.grow(DEPTH, REORG_TRANSACTIONS)
    source.grow(DEPTH + 1, REORG_TRANSACTIONS)
    redis: Any = peer.redis
    redis.config_set("slowlog-log-slower-than", 1000)
    redis.slowlog_reset()
    seconds = peer.resolve(source)
    return seconds, max((entry["duration"] for entry in redis.slowlog_get(128)), default=0) / 1000


def _add(result: Result, turns: Sequence[tuple[float, float]]) -> None:
    each = [seconds for seconds, _ in turns]
    result.add(
        "reorganisation_seconds", statistics.median(each), "s", target=2.0, better="lower",
        than=f"depth {DEPTH}, {REORG_TRANSACTIONS} transactions a block: fetched, verified, swapped, mempool done; "
        f"median of {', '.join(f'{seconds:.2f}' for seconds in each)}",
    )  # fmt: skip
    slowest = max(milliseconds for _, milliseconds in turns)
    result.add("longest_script_ms", slowest, "ms", target=100, better="lower", than="no reader waits longer for Redis")


class Source:
    """The node whose API serves the chain. Blocks are appended to its store directly."""

    def __init__(self, bench: BenchNode | None, keys: Sequence[KeyPair], node: Node | None = None) -> None:
        if bench is not None:
            self.url = bench.url
            node = _node(bench, Redis.from_url(bench.valkey.url), "bench", None)
        assert node is not None
        self.node = node
        self.keys = keys

    def grow(self, blocks: int, transactions: int) -> None:
        """Append `blocks` blocks with `transactions` signed transfers each."""
        nonces = {key.address: self.node.chain.account(key.address).nonce for key in self.keys}
        for _ in range(blocks):
            items = []
            for i in range(transactions):
                key = self.keys[i % len(self.keys)]
                items.append(self._transfer(key, nonces[key.address], self.keys[(i + 1) % len(self.keys)].address))
                nonces[key.address] += 1
            self._append(items)

    def _transfer(self, key: KeyPair, nonce: int, recipient: str) -> Any:
        fields = {
            "type": "transfer",
            "chain_id": self.node.settings.spec.chain_id,
            "nonce": nonce,
            "sender": key.address,
        }
        return self.node.rules.read_request(
            sign({**fields, "recipient": recipient, "amount": "0.001", "fee": "0"}, key)
        )

    def _append(self, items: list[Any]) -> Block:
        node = self.node
        window = node.chain.window(node.chain.tip())
        template = node.rules.template(window, items, node.settings.reward_address, node.clock.now())
        return node.acceptor.accept(node.rules.read_block(template.with_proof(0))).block  # difficulty 1: any proof


class Peer:
    """Another node, in this process and on the same Valkey. It asks the source over HTTP."""

    def __init__(self, bench: BenchNode, name: str, *, copied: bool = False) -> None:
        """With `copied`, it begins with a copy of the source's chain."""
        self.http = CountingHttp()
        self.redis = Redis.from_url(bench.valkey.url)
        if copied:
            for key in self.redis.scan_iter("quarry:{bench}:*", count=1000):
                self.redis.copy(key, key.replace(b"{bench}", f"{{{name}}}".encode()))
        self.node = _node(bench, self.redis, name, self.http)
        self.node.begin()

    def resolve(self, source: Source) -> float:
        """Adopt the source's chain; the seconds that took. `http` has counted requests and bytes."""
        self.node.peers.add(source.url)
        self.http.requests = self.http.bytes = 0
        started = time.perf_counter()
        resolution = self.node.resolver.resolve(source.url)
        seconds = time.perf_counter() - started
        if not resolution.replaced or self.node.chain.tip().hash != source.node.chain.tip().hash:
            raise RuntimeError(f"the chain was not adopted: {resolution.notes}")
        return seconds


class CountingHttp:
    """The HTTP port, with a count of requests and of bytes in both directions; bytes of heads are estimated."""

    HEADS = 450  # bytes of the heads of a request and its answer, as measured once

    def __init__(self) -> None:
        self._http = SystemPeerHttp(private=True)
        self.requests = 0
        self.bytes = 0

    def exchange(self, request: PeerRequest) -> tuple[int, bytes]:
        with self.stream(request) as answer:
            return answer.status, b"".join(answer.chunks)

    def stream(self, request: PeerRequest) -> AbstractContextManager[Stream]:
        return self._counted(request)

    @contextmanager
    def _counted(self, request: PeerRequest) -> Iterator[Stream]:
        self.requests += 1
        self.bytes += self.HEADS + len(request.path) + len(request.body or b"")
        with self._http.stream(request) as answer:
            yield replace(answer, chunks=self._counting(answer.chunks))

    def _counting(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.bytes += len(chunk)
            yield chunk

    def in_parallel(self, ask: Callable[[str], Answer], urls: Sequence[str]) -> list[Answer | NodeError]:
        return self._http.in_parallel(ask, urls)


def _node(bench: BenchNode, redis: "Redis", name: str, http: CountingHttp | None) -> Node:
    settings = replace(load(bench.environment), node=name)
    return build_node(settings, store=as_store(redis), queue=RqJobs(redis), http=http)
