"""Three nodes of real processes, each behind a proxy: news within a second, ties, a partition under traffic, healed.

a —— b        a is reached through one proxy, and reaches b and c through two that only it uses:
 \\  /         cutting these three parts a from the others, who go on talking to each other
  c
"""

import itertools
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.connections.servers import as_store
from services.jobs.queues import NETWORK, RqJobs, queue
from services.node import Node, build_node
from shared.keys import KeyPair
from shared.transaction import sign
from tests.network.proxy import Proxy
from tests.support.http import Client, Json
from tests.support.keys import KEYS, TOKEN
from tests.support.nodes import transfer
from tests.support.running import RunningNode
from tests.support.specs import CHAIN_ID
from tests.support.stored import assert_store_equals_replay
from tests.support.waiting import eventually

# Long enough that two sides seldom find a block at the same moment, short enough for a few blocks a second.
DIFFICULTY = 150_000
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
NAMES = ("a", "b", "c")


class ProxiedNode(RunningNode):
    """A node whose public URL is that of a proxy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.proxy = Proxy()

    def _launch(self, name: str, command: list[str]) -> subprocess.Popen[bytes] | None:  # type: ignore[override] # whichever it returns
        self.proxy.target = self.door.port
        self.environment["QUARRY_PUBLIC_URL"] = self.proxy.url
        return super()._launch(name, command)

    @property
    def tip(self) -> str:
        found = self.client.get("/status").ok()["tip"]
        assert isinstance(found, str)
        return found

    def mine(self) -> Json:
        found: Json = self.client.post("/mine?wait=30").ok()
        return found

    def register(self, *urls: str) -> None:
        self.client.post("/nodes/register", {"nodes": list(urls)}, **ADMIN).ok(201)

    def forget_peers(self) -> None:
        urls = [peer["url"] for peer in self.client.get("/nodes").ok()["nodes"]]
        if urls:
            body = str(urls).replace("'", '"')
            self.door.call(
                "DELETE", "/nodes", f'{{"nodes": {body}}}'.encode(), Content_Type="application/json", **ADMIN
            ).ok()

    def is_asking_no_peer(self) -> bool:
        """Whether no network job runs: one that has read the peers may wait a second for its turn before it asks."""
        with self.redis() as redis:
            return queue(NETWORK, redis).started_job_registry.count == 0

    @contextmanager
    def inside(self) -> Iterator[tuple[Node, Any]]:
        """The node's parts in this process, on its store; and the store."""
        with self.redis() as redis:
            yield build_node(self.settings, store=as_store(redis), queue=RqJobs(redis)), redis


class Trio:
    """The three nodes and the proxies between them."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.a, self.b, self.c = self.nodes = [
            ProxiedNode(
                directory / name,
                workers=1,
                spec={"difficulty": DIFFICULTY},
                variables={
                    "RESOLVE_SECONDS": "1", "API_PROCESSES": "1", "AUTOMINE": "true" if name != "c" else "false",
                    "REWARD_ADDRESS": KeyPair(name.encode() * 32).address,
                },
            )
            for name in NAMES
        ]  # fmt: skip
        for node in self.nodes:
            stack.enter_context(node.proxy)
        started = [threading.Thread(target=stack.enter_context, args=(node,)) for node in self.nodes]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        self.to_b, self.to_c = (stack.enter_context(Proxy(node.door.port)) for node in (self.b, self.c))
        self.bridges = [self.a.proxy, self.to_b, self.to_c]

    def connect(self, *, bridged: bool = True) -> None:
        """Make all peers of all. Over the bridges, a knows the others by names that are not their own, so it does not
        heed their announcements and finds their news by resolving.
        """
        for node in self.nodes:
            node.forget_peers()
        self.a.register(*((self.to_b.url, self.to_c.url) if bridged else (self.b.proxy.url, self.c.proxy.url)))
        self.b.register(self.a.proxy.url, self.c.proxy.url)
        self.c.register(self.a.proxy.url, self.b.proxy.url)

    @contextmanager
    def tickers_stopped(self) -> Iterator[None]:
        pids = [node.processes["ticker"].pid for node in self.nodes]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def agree(self, seconds: float) -> float:
        """Wait until all have one tip; how long that took."""
        started = time.monotonic()
        eventually(lambda: len({node.tip for node in self.nodes}) == 1, seconds)
        return time.monotonic() - started

    def settle(self, seconds: float) -> None:
        """Wait until all have one tip, nothing is being mined, and nothing changes for a while."""
        last: list[Any] = []
        since = time.monotonic()
        deadline = since + seconds
        while time.monotonic() - since < 1.5:
            found = [node.client.get("/status").ok() for node in self.nodes]
            now = [(item["tip"], item["round"] is None, item["mempool"]) for item in found]
            if now != last or len({item["tip"] for item in found}) > 1 or any(item["round"] for item in found):
                last, since = now, time.monotonic()
            assert time.monotonic() < deadline, now
            time.sleep(0.1)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    with ExitStack() as stack:
        yield Trio(stack, tmp_path_factory.mktemp("trio"))


def check(nodes: list[ProxiedNode]) -> None:
    """Every node's state is that of a replay of its chain, and nothing is left unfinished."""
    for node in nodes:
        with node.inside() as (inside, redis):
            for attempt in itertools.count(1):
                tip = inside.chain.tip().hash
                try:
                    assert_store_equals_replay(inside, redis)
                    assert redis.get(inside.chain.keys.journal) is None
                    break
                except AssertionError:
                    # What waited for a minute is handed on again, and may be mined while the store is compared.
                    if inside.chain.tip().hash == tip or attempt == 5:
                        raise


def test_news_travels_within_a_second(trio: Trio) -> None:
    """By announcements alone: the tickers are stopped, so no node resolves of its own accord."""
    trio.connect(bridged=False)
    trio.agree(30)
    tips, transactions = [], []
    key = KEYS[90]
    with trio.tickers_stopped():
        for nonce in range(5):
            tip = trio.b.mine()["hash"]
            started = time.monotonic()
            eventually(lambda tip=tip: trio.c.tip == tip == trio.a.tip)  # type: ignore[misc] # the default has no type
            tips.append(time.monotonic() - started)
            identifier = trio.a.client.submit(transfer(key, nonce))
            started = time.monotonic()
            eventually(lambda i=identifier: trio.c.client.get(f"/transactions/{i}").status == 200)  # type: ignore[misc] # the same
            transactions.append(time.monotonic() - started)
            trio.settle(30)
    for what, seconds in (("tip", tips), ("transaction", transactions)):
        print(f"new {what} at both peers after {statistics.median(seconds):.2f} s (worst {max(seconds):.2f} s)")
        # The best of five, since the machine may be busy.
        assert min(seconds) < 1, f"new {what}: {seconds}"
    check(trio.nodes)


def test_equal_tips_agree_within_two_ticks(trio: Trio) -> None:
    for attempt in range(3):  # the best of three, since the machine may be busy
        took = equal_tips_agree_after(trio)
        print(f"equal tips agreed after {took:.2f} s, with a tick of 1 s")
        if took < 2 + 1.5:  # two ticks, and the time that the jobs themselves take
            break
        assert attempt < 2, took


def equal_tips_agree_after(trio: Trio) -> float:
    """Let two nodes that know no peer find a block each, and tell them of each other: how many seconds until both have
    the same tip.
    """
    trio.connect()
    trio.settle(30)
    for node in trio.nodes:
        node.forget_peers()
    for node in trio.nodes:
        eventually(node.is_asking_no_peer)
    height = trio.a.client.get("/status").ok()["height"]
    tips = [trio.a.mine()["hash"], trio.b.mine()["hash"]]
    assert tips[0] != tips[1]
    assert {node.client.get("/status").ok()["height"] for node in (trio.a, trio.b)} == {height + 1}
    trio.a.register(trio.to_b.url)
    trio.b.register(trio.a.proxy.url)
    started = time.monotonic()
    eventually(lambda: trio.a.tip == trio.b.tip == min(tips), 30)
    return time.monotonic() - started


class Traffic:
    """Clients of all three nodes. They keep what was acknowledged, and by whom."""

    def __init__(self, trio: Trio, seed: int, first_key: int) -> None:
        self._random = random.Random(seed)
        self._trio = trio
        self._keys = KEYS[first_key : first_key + 6]
        self._stop = threading.Event()
        self.acknowledged: list[tuple[ProxiedNode, str]] = []
        self.conflicts = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        rng = self._random
        while not self._stop.wait(rng.uniform(0.01, 0.08)):
            key = rng.choice(self._keys)
            targets = rng.sample(self._trio.nodes, rng.choice((1, 1, 2)))
            if len(targets) > 1:
                self.conflicts += 1  # two transactions with one nonce, perhaps on both sides
            for node in targets:
                self._send(node, key, rng)

    def _send(self, node: ProxiedNode, key: KeyPair, rng: random.Random) -> None:
        client: Client = node.client
        nonce = client.get(f"/accounts/{key.address}").ok()["pending_nonce"]
        kind, to = rng.choice(("transfer", "transfer", "approve")), rng.choice(self._keys)
        fields = {
            "type": kind, "chain_id": CHAIN_ID, "nonce": nonce, "sender": key.address, "recipient": to.address,
            "amount": str(rng.randint(1, 5)), "fee": "0.001",
        }  # fmt: skip
        answer = client.post("/transactions/new", sign(fields, key))
        if answer.status == 201:
            self.acknowledged.append((node, answer.json["id"]))


def split_and_heal(trio: Trio, seed: int, seconds: float, first_key: int) -> None:
    trio.connect()
    trio.agree(30)
    refused = sum(proxy.refused for proxy in trio.bridges)
    with Traffic(trio, seed, first_key) as traffic:
        time.sleep(1)
        for proxy in trio.bridges:
            proxy.cut()
        time.sleep(seconds)

        def parted() -> bool:
            sides = [node.client.get("/status").ok() for node in (trio.a, trio.b)]
            unknown = [
                other.client.get(f"/blocks/{status['tip']}").status
                for status, other in zip(sides, (trio.b, trio.a), strict=True)
            ]
            return unknown == [404, 404]

        # Each side has blocks that the other has not, and somebody has met the partition: without that nothing was
        # tested. A busy machine takes longer to come to it.
        eventually(parted, 60, f"seed {seed}: the parting of the sides")
        eventually(lambda: sum(proxy.refused for proxy in trio.bridges) > refused, 60, "a refusal by the partition")
        for proxy in trio.bridges:
            proxy.heal()
        time.sleep(0.5)  # payments go on while it heals
    took = trio.agree(60)
    trio.settle(60)
    check(trio.nodes)
    assert len({node.tip for node in trio.nodes}) == 1
    status = [node.client.get(f"/transactions/{item}") for node, item in traffic.acknowledged]
    lost = [item for answer, item in zip(status, traffic.acknowledged, strict=True) if answer.status != 200]
    assert not lost, f"seed {seed}: acknowledged and gone: {lost}"
    kinds = [answer.json["status"] for answer in status]
    assert kinds.count("confirmed") > len(kinds) / 4
    for answer in status:
        assert answer.json["status"] in ("confirmed", "pending") or answer.json["reason"]
    reorganised = 0
    for node in trio.nodes:
        with node.inside() as (inside, _):
            reorganised += inside.mining.counters().get("reorganisations", 0)
    assert reorganised, "no chain was ever left"
    summary = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    print(
        f"seed {seed}: healed after {took:.1f} s; {len(kinds)} acknowledged, {traffic.conflicts} conflicts: {summary}"
    )


def test_a_partition_under_traffic_heals(trio: Trio) -> None:
    split_and_heal(trio, seed=1, seconds=4, first_key=10)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 8))
def test_partitions_under_traffic_heal(trio: Trio, seed: int) -> None:
    split_and_heal(trio, seed=seed, seconds=random.Random(seed).uniform(3, 20), first_key=10 * seed)
