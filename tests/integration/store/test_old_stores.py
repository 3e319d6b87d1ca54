"""Stores that earlier releases wrote open under this one, whenever a start is killed (tests/vectors/stores)."""

import shutil
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from services.audit.full import FullAudit
from services.connections.servers import as_store, connect_for_requests
from services.errors import WrongChain
from services.launch.embedded import EmbeddedValkey
from services.node import Node, build_node
from services.settings.table import load, load_spec
from services.store import packing
from services.store.schema import PRUNED_SCHEMA, SCHEMA, UPGRADE_SECONDS
from services.system.programs import ROOT
from shared.amounts import format_amount
from tests.support.clocks import FakeClock
from tests.support.nodes import grow
from tests.support.queues import RecordingQueue
from tests.support.stored import assert_store_equals_replay

STORES = ROOT / "tests" / "vectors" / "stores"
# Per commit, what `quarry status` of that commit said last.
TIPS = {
    "8d50d14": "000026904d310b44ded5118435914966d98b860ef42167ae74bd2da24337d88e",
    "33a91b7": "000097d73d319df5a54bd96c7cf5cd2d110f0a4b851b84c791b070993eb61a11",
    "b01fe16": "00000461a6fc855f7ed6425d28f8e02056955db19970563a9619daa2c7d2d77d",
    "50ace57": "00003f94d7e0fbcef1a1fe37a2cb1ed4ca3263f4790dceca6cc23298a7a9e844",
}
# How many blocks are in packs, three in each, and of how many of these the bodies are gone.
PACKED = {"b01fe16": 6, "50ace57": 6}
PRUNED = {"50ace57": 3}
MINERS = {
    "8d50d14": "0xc4A540E3188FFd4307FCAf40876aF3e3f8578b6C",
    "33a91b7": "0x3Cd22f84a0e94Fcd64715991e796D6a270C8b418",
    "b01fe16": "0x918eCbeA106D028900a71d48cbF576d6f41d5Bf2",
    "50ace57": "0xb45cFeF1b7669266C8054370A6A290Fc99A23372",
}
BALANCES = {
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8": "10020",
    "0xdD2FD4581271e230360230F9337D5c0430Bf44C0": "10",
}
# What every start writes, or a copy does not say.
OWN = ("run",)


class Killed(Exception):
    """The process ends here."""


class DyingStore:
    """A store whose process ends before one of its writes.

    Args:
        writes: how many are still made.
    """

    WRITES = frozenset({"set", "hset", "delete", "evalsha", "eval", "hdel", "zadd", "sadd", "rpush", "xadd"})

    def __init__(self, redis: Redis, writes: int) -> None:
        self._redis = redis
        self._left = writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._redis, name)
        if name not in self.WRITES:
            return found

        def counted(*args: Any, **named: Any) -> Any:
            if self._left <= 0:
                raise Killed
            self._left -= 1
            return found(*args, **named)

        return counted


@pytest.fixture(scope="module", params=TIPS)
def frozen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A commit, and the URL of a server that holds what it wrote."""
    commit: str = request.param
    place = tmp_path_factory.mktemp("frozen")
    with tarfile.open(STORES / f"{commit}.tar.xz") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python has it from 3.11.4 on
        archive.extractall(place)
    place.chmod(0o700)
    with EmbeddedValkey(place / "valkey") as server:
        yield commit, server.url
    shutil.rmtree(place)


@pytest.fixture
def old(frozen: tuple[str, str]) -> Iterator[tuple[str, Redis]]:
    """The commit and its store; it is put back after the test."""
    commit, url = frozen
    redis = connect_for_requests(url)
    kept = {key: redis.dump(key) for key in redis.scan_iter(count=1000)}
    yield commit, redis
    put_back(redis, kept)


def put_back(redis: Redis, kept: dict[bytes, Any]) -> None:
    redis.flushall()
    for key, value in kept.items():
        redis.restore(key, 0, value)


def opened(redis: Any, clock: FakeClock | None = None) -> Node:
    settings = load({"QUARRY_NODE": "node1", "QUARRY_SPEC": "dev"})
    clock = clock or FakeClock()
    clock.time = max(clock.time, 1795736000.0)  # after the blocks were made
    return build_node(settings, store=as_store(redis), queue=RecordingQueue(), clock=clock)


def content(redis: Redis) -> dict[bytes, Any]:
    """What the keys hold, whatever the order of their fields."""
    read: dict[bytes, Any] = {
        b"hash": redis.hgetall, b"list": lambda key: redis.lrange(key, 0, -1), b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True), b"string": redis.get, b"stream": redis.xlen,
    }  # fmt: skip
    keys = [key for key in redis.scan_iter(count=1000) if not key.endswith(tuple(f":{name}".encode() for name in OWN))]
    return {key: read[redis.type(key)](key) for key in keys}


def test_it_opens_with_the_same_chain(old: tuple[str, Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    commit, redis = old
    clock, packed = FakeClock(), PACKED.get(commit, 0)
    node = opened(redis, clock)
    node.begin()
    assert node.chain.packs.totals().blocks == packed and node.chain.kept_from() == PRUNED.get(commit, 0) + 1
    tip = node.chain.tip()
    assert (tip.height, tip.hash, format_amount(tip.supply)) == (8, TIPS[commit], "100007")
    for address, balance in {**BALANCES, MINERS[commit]: "7"}.items():
        assert format_amount(node.chain.account(address).balance) == balance
    assert node.faults.read() is None
    assert FullAudit(node.chain, node.rules, clock).certain().findings == []
    if not packed:
        assert_store_equals_replay(node, redis)
    assert redis.get(node.chain.keys.schema) == str(PRUNED_SCHEMA if commit in PRUNED else SCHEMA).encode()
    # It goes on: blocks are made, and old blocks are packed once the other processes have been replaced.
    for _ in range(1 + packed):
        grow(node)
    clock.sleep(UPGRADE_SECONDS + 1)
    monkeypatch.setattr(packing, "BLOCKS", 4)
    while node.chain.packs.pack_next(1, clock.now):
        pass
    assert node.chain.packs.totals().blocks == packed + 8
    assert FullAudit(node.chain, node.rules, clock).certain().findings == []
    assert node.chain.tip().height == 9 + packed


def test_blocks_that_another_release_has_packed_are_read_one_by_one_and_can_be_unpacked(old: tuple[str, Redis]) -> None:
    """A reorganisation that is deeper than the packs takes them apart."""
    commit, redis = old
    clock, pruned = FakeClock(), PRUNED.get(commit, 0)
    node = opened(redis, clock)
    node.begin()
    before = chain_of(node)
    assert node.chain.packs.unpack_above(pruned + 2, clock.now()) == (PACKED.get(commit, 0) - pruned) // 3
    assert node.chain.packs.totals().blocks == pruned and chain_of(node) == before
    if not pruned:
        assert_store_equals_replay(node, redis)


def chain_of(node: Node) -> list[Any]:
    """What readers say of each block."""
    hashes = node.chain.hashes(1, node.chain.tip().height)
    ids = {name: node.chain.transaction_ids(name) for name in hashes}
    places = node.chain.locate_many([item for found in ids.values() for item in found])
    kept = node.chain.kept_from()
    undos = list(map(node.chain.undo, hashes[max(kept - 1, 1) :]))
    return [*node.chain.stream(kept, len(hashes)), *node.chain.headers(1, 99), ids, places, *undos]


def test_a_start_that_is_killed_before_any_of_its_writes_can_be_repeated(old: tuple[str, Redis]) -> None:
    commit, redis = old
    kept = {key: redis.dump(key) for key in redis.scan_iter(count=1000)}
    opened(redis).begin()
    right = content(redis)
    writes, done = 0, False
    while not done:
        put_back(redis, kept)
        try:
            opened(DyingStore(redis, writes)).begin()
            done = True
        except Killed:
            opened(redis).begin()
        assert content(redis) == right, f"killed after {writes} writes"
        writes += 1
    assert writes > (1 if commit in PACKED else 3)  # but for packs, the form and until when nothing is packed


def test_a_store_of_a_later_release_is_refused(old: tuple[str, Redis]) -> None:
    _, redis = old
    redis.set("quarry:{node1}:schema", PRUNED_SCHEMA + 1)
    before = content(redis)
    with pytest.raises(WrongChain, match="A later release"):
        opened(redis).begin()
    assert content(redis) == before


def test_the_spec_of_this_release_has_the_genesis_block_of_theirs(old: tuple[str, Redis]) -> None:
    _, redis = old
    node = opened(redis)
    assert node.chain.hash_at(1) == node.rules.genesis().hash and load_spec("dev").name == "dev"


def test_every_archive_is_opened() -> None:
    assert {path.name for path in STORES.glob("*.tar.*")} == {f"{commit}.tar.xz" for commit in TIPS}
    assert all(path.stat().st_size < 20_000 for path in STORES.glob("*.tar.xz"))
    described = (STORES / "README.md").read_text()
    assert all(f"`{commit}`" in described for commit in TIPS)
