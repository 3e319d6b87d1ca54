"""Packs of old blocks: every reader reads the same, and nothing is lost or twice, whenever a process is killed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from services.audit.repair import BlockDamaged
from services.connections.servers import as_store
from services.errors import Damaged, TipMoved
from services.store import packing
from services.store.packing import HELD_SECONDS, PackStore
from services.store.packs import full_hash
from tests.support.keys import ALICE, CAROL, KEYS
from tests.support.long_chains import grow, pack_all
from tests.support.nodes import TestNode
from tests.support.stored import assert_store_equals_replay

BLOCKS = 4
OWN = ("packed", "packs", "pack-starts", "pack-names", "events")  # what packing adds, and the news


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCKS", BLOCKS)


@pytest.fixture
def packs(here: TestNode, redis: Redis) -> PackStore:
    return PackStore(as_store(redis), here.node.chain.keys)


def everything(here: TestNode) -> dict[str, Any]:
    """What the readers of the store say of the whole chain."""
    chain, height = here.node.chain, here.node.chain.tip().height
    hashes = chain.hashes(1, height)
    ids = [item for name in hashes for item in chain.transaction_ids(name)]
    return {
        "hashes": hashes,
        "at": [chain.hash_at(i) for i in range(1, height + 2)],
        "headers": chain.headers(1, height),
        "some": chain.headers(3, 7),
        "one by one": [chain.header(name) for name in hashes],
        "backwards": chain.headers_of(hashes[::-1]),
        "texts": [chain.block_bytes(name) for name in hashes],
        "stream": list(chain.stream(1, height)),
        "part": list(chain.stream(5, 12)),
        "undos": [chain.undo_text(name) for name in hashes[1:]],
        "ids": ids,
        "packed ids": chain.packed_ids(hashes),
        "places": [chain.locate(item) for item in ids],
        "together": chain.locate_many([*ids, "ab" * 32]),
        "nothing": (chain.header("ab" * 32), chain.block_bytes("cd" * 32), chain.locate("ef" * 32)),
        "histories": {key.address: chain.history(key.address, newest=0, limit=1000) for key in [*KEYS[:6]]},
        "locator": (chain.locator(), chain.fork_height(chain.locator()), chain.after([hashes[2]], 9)),
        "stored": chain.stored.blocks([name.encode() for name in hashes]),
        "stored places": chain.stored.places([bytes.fromhex(item) for item in ids]),
        "index": (chain.stored.index_size(), chain.stored.tip_and_index_size()),
        "stored headers": list(chain.stored.headers(height, 7)),
        "parents": chain.stored.blocks_with_parents(
            chain.stored.hashes_with_parents(range(1, height + 1)), range(1, height + 1)
        ),
        "ledgers": [here.node.snapshots.supply(i) for i in range(1, height + 1)],
    }


def plain(redis: Redis) -> dict[bytes, Any]:
    """Every key but those of packs, and what it holds."""
    own = tuple(f":{name}".encode() for name in OWN)
    read: dict[bytes, Callable[[bytes], Any]] = {b"hash": redis.hgetall, b"list": lambda key: redis.lrange(key, 0, -1)}
    return {
        key: read.get(redis.type(key), redis.dump)(key) for key in redis.scan_iter(count=1000) if not key.endswith(own)
    }


def test_every_reader_reads_the_same_from_packs(here: TestNode, redis: Redis, packs: PackStore) -> None:
    grow(here, 41)
    before, stored = everything(here), plain(redis)
    assert pack_all(here, packs) == 40
    keys, totals = here.node.chain.keys, packs.totals()
    assert (totals.height, totals.blocks) == (40, 40)
    assert redis.hlen(keys.blocks) == redis.hlen(keys.undo) == redis.hlen(keys.headers) == redis.hlen(keys.ids) == 2
    assert redis.zcard(keys.pack_starts) == redis.hlen(keys.packs) == 10
    assert totals.names == totals.transactions + 40
    assert everything(here) == before
    assert here.node.watchman.now() is None and here.node.watchman.sample() is None
    assert here.node.repair.run().findings == ()
    # Taken apart again, it is byte for byte what it was.
    assert packs.unpack_above(0, here.clock.now()) == 10
    assert plain(redis) == stored and everything(here) == before
    totals = packs.totals()
    assert (totals.height, totals.blocks, totals.transactions, totals.names, totals.bytes) == (0, 0, 0, 0, 0)
    assert not redis.exists(keys.packs, keys.pack_names, keys.pack_starts)
    assert_store_equals_replay(here.node, redis)


def test_blocks_near_the_tip_stay_as_they_are(here: TestNode, packs: PackStore) -> None:
    grow(here, 12)  # 13 with genesis
    assert pack_all(here, packs, depth=10) == 0
    assert pack_all(here, packs, depth=9) == BLOCKS
    assert pack_all(here, packs, depth=6) == 0
    assert pack_all(here, packs, depth=5) == BLOCKS
    here.mine()
    assert pack_all(here, packs, depth=2) == BLOCKS


def test_depth_0_packs_nothing_and_housekeeping_packs_by_the_setting(here: TestNode, packs: PackStore) -> None:
    grow(here, 9)
    never = replace(here.node.packer, depth=0)
    assert never.run() == 0 and packs.totals().height == 0
    assert here.node.packer.depth == 1000 and here.node.packer.run() == 0
    assert replace(never, depth=2).run() == 2 * BLOCKS


# --- killed ---


class Killed(Exception):
    """The process ends here."""


STEPS = ("hgetall", "lrange", "pipeline", "before the script", "after the script")


@pytest.mark.parametrize("step", STEPS)
def test_a_packing_that_is_killed_at_any_step_loses_nothing(
    here: TestNode, redis: Redis, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    grow(here, 13)
    before = everything(here)
    packs = PackStore(as_store(redis), here.node.chain.keys)
    killing(monkeypatch, packs, step)
    with pytest.raises(Killed):
        packs.pack_next(1, here.clock.now)
    monkeypatch.undo()
    monkeypatch.setattr(packing, "BLOCKS", BLOCKS)
    assert everything(here) == before
    again = PackStore(as_store(redis), here.node.chain.keys)
    assert again.totals().blocks == (BLOCKS if step == "after the script" else 0)
    pack_all(here, again)
    assert (again.totals().blocks, everything(here)) == (12, before)
    assert here.node.repair.run().findings == ()


@pytest.mark.parametrize("step", ("hgetall", "zrange", "hget", "before the script", "after the script"))
def test_an_unpacking_that_is_killed_at_any_step_loses_nothing(
    here: TestNode, redis: Redis, packs: PackStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    grow(here, 13)
    before, stored = everything(here), plain(redis)
    pack_all(here, packs)
    dying = PackStore(as_store(redis), here.node.chain.keys)
    killing(monkeypatch, dying, step)
    with pytest.raises(Killed):
        dying.unpack_above(5, 0)
    monkeypatch.undo()
    assert everything(here) == before
    assert packs.unpack_above(5, 0) == (1 if step == "after the script" else 2)
    assert everything(here) == before and packs.totals().blocks == 4
    packs.unpack_above(0, 0)
    assert plain(redis) == stored


def killing(monkeypatch: pytest.MonkeyPatch, packs: PackStore, step: str) -> None:
    """End the process of `packs` at a step."""

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    def run(name: str, keys: list[str], args: list[Any]) -> Any:
        if step == "after the script" or name not in ("pack", "unpack"):
            reply = original(name, keys, args)
            if name not in ("pack", "unpack"):
                return reply
        raise Killed

    if step.endswith("script"):
        original = packs._scripts.run
        monkeypatch.setattr(packs._scripts, "run", run)
    else:
        monkeypatch.setattr(packs._redis, step, die)


# --- meanwhile ---


def test_nothing_is_packed_if_the_chain_has_changed_since_it_was_read(
    here: TestNode, redis: Redis, packs: PackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(here, 13)
    keys, original = here.node.chain.keys, packs._scripts.run
    first = redis.lindex(keys.heights, 1)
    changes: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: redis.lset(keys.heights, 1, "ab" * 32), lambda: redis.lset(keys.heights, 1, first)),
        (lambda: redis.set(keys.journal, "{}"), lambda: redis.delete(keys.journal)),
        (lambda: redis.hset(keys.fault, "sentence", "wrong"), lambda: redis.delete(keys.fault)),
        (lambda: redis.hset(keys.packed, "changes", 9), lambda: redis.delete(keys.packed)),
        (lambda: redis.hset(keys.packed, "held", 2**40), lambda: redis.delete(keys.packed)),
        (lambda: redis.hset(keys.tip, "height", 4), lambda: redis.hset(keys.tip, "height", 14)),
    ]
    for change, back in changes:

        def run(name: str, names: list[str], args: list[Any], change: Callable[[], Any] = change) -> Any:
            if name == "pack":
                change()
            return original(name, names, args)

        before = plain(redis)
        monkeypatch.setattr(packs._scripts, "run", run)
        assert packs.pack_next(1, here.clock.now) == 0
        back()
        assert plain(redis) == before and not redis.exists(keys.packs)
    monkeypatch.setattr(packs._scripts, "run", original)
    assert packs.pack_next(1, here.clock.now) == BLOCKS


def test_two_packers_at_once_pack_each_block_once(here: TestNode, redis: Redis, packs: PackStore) -> None:
    grow(here, 13)
    before = everything(here)
    other = PackStore(as_store(redis), here.node.chain.keys)
    run = packs._scripts.run

    def late(name: str, keys: list[str], args: list[Any]) -> Any:
        if name == "pack":
            assert other.pack_next(1, here.clock.now) == BLOCKS
        return run(name, keys, args)

    packs._scripts.run = late  # type: ignore[method-assign]
    assert packs.pack_next(1, here.clock.now) == 0
    assert packs.totals().blocks == BLOCKS and everything(here) == before


def test_after_unpacking_nothing_is_packed_for_a_while(here: TestNode, packs: PackStore) -> None:
    grow(here, 13)
    pack_all(here, packs)
    packs.unpack_above(5, here.clock.now())
    assert packs.totals().height == 4
    assert pack_all(here, packs) == 0
    here.clock.sleep(HELD_SECONDS + 1)
    assert pack_all(here, packs) == 8


def test_a_read_finds_a_block_that_is_packed_or_unpacked_in_the_middle(
    here: TestNode, redis: Redis, packs: PackStore
) -> None:
    grow(here, 13)
    chain = here.node.chain
    name = chain.hash_at(3)
    assert name is not None
    before = chain.header(name)
    run = chain._scripts.run

    def unpacked(script: str, keys: list[str], args: list[Any]) -> Any:
        packs.unpack_above(0, 0)
        return run(script, keys, args)

    pack_all(here, packs)
    chain._scripts.run = unpacked  # type: ignore[method-assign]
    assert chain.header(name) == before and packs.totals().height == 0


# --- what cannot be packed, and what is damaged ---


def test_a_block_that_would_not_come_back_as_it_is_stays_unpacked(
    here: TestNode, redis: Redis, packs: PackStore
) -> None:
    grow(here, 13)
    keys = here.node.chain.keys
    names = redis.lrange(keys.heights, 0, -1)
    redis.hset(keys.undo, names[5], b"two\nlines")
    redis.hset(keys.headers, names[9], b"{}")
    before = here.node.chain.stored.blocks(names)
    pack_all(here, packs)
    assert packs.totals().blocks < packs.totals().height
    assert redis.hexists(keys.undo, names[5]) and redis.hexists(keys.headers, names[9])
    assert here.node.chain.stored.blocks(names) == before
    packs.unpack_above(0, 0)
    assert here.node.chain.stored.blocks(names) == before
    assert [full_hash(item) for item in redis.lrange(keys.heights, 0, -1)] == names


def test_a_large_block_is_a_pack_of_its_own_and_a_larger_one_stays(
    here: TestNode, redis: Redis, packs: PackStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(here, 2)
    here.mine(*(here.sign(ALICE, here.node.chain.account(ALICE.address).nonce + i) for i in range(9)))
    here.mine(*(here.sign(CAROL, here.node.chain.account(CAROL.address).nonce + i) for i in range(20)))
    grow(here, 10, seed=1)
    before = everything(here)
    monkeypatch.setattr(packing, "TRANSACTIONS", 9)
    monkeypatch.setattr(packing, "MOST_TRANSACTIONS", 15)
    pack_all(here, packs)
    starts = [int(item) for item in redis.zrange(here.node.chain.keys.pack_starts, 0, -1)]
    assert {4, 5, 6} <= set(starts)
    assert not redis.hexists(here.node.chain.keys.packs, "5") and redis.hexists(here.node.chain.keys.packs, "4")
    assert everything(here) == before
    assert here.node.repair.run().findings == ()
    packs.unpack_above(0, 0)
    assert everything(here) == before


@pytest.fixture
def damaged(here: TestNode, redis: Redis, packs: PackStore) -> Iterator[TestNode]:
    grow(here, 13)
    pack_all(here, packs)
    key = here.node.chain.keys.packs
    value = redis.hget(key, "5")
    assert value is not None
    redis.hset(key, "5", value[:-20] + bytes([value[-20] ^ 1]) + value[-19:])
    yield here


def test_a_damaged_pack_is_named_and_blocks_beside_it_are_read(damaged: TestNode) -> None:
    chain = damaged.node.chain
    name, other = chain.hash_at(6), chain.hash_at(3)
    assert name is not None and other is not None
    with pytest.raises(Damaged, match="quarry chain verify"):
        chain.block_bytes(name)
    assert chain.block_bytes(other) is not None
    findings = damaged.node.repair._audit.run().findings
    assert [(item.kind, item.name) for item in findings] == [("block", "5")]


def test_a_repair_keeps_the_chain_below_a_damaged_pack(damaged: TestNode, redis: Redis, packs: PackStore) -> None:
    with pytest.raises(BlockDamaged):
        damaged.node.repair.run()
    repaired = damaged.node.repair.run(truncate=True)
    assert (repaired.height, packs.totals().height) == (4, 0)  # the tip is never packed
    assert damaged.node.watchman.now() is None
    grow(damaged, 6, seed=3)
    assert damaged.node.repair.run().findings == ()


def test_a_repair_corrects_records_and_index_of_packed_blocks(here: TestNode, redis: Redis, packs: PackStore) -> None:
    grow(here, 13)
    keys, chain = here.node.chain.keys, here.node.chain
    header = redis.hget(keys.headers, redis.lindex(keys.heights, 2))
    assert header is not None
    redis.hset(keys.headers, redis.lindex(keys.heights, 2), header.replace(b'"chainwork":"2"', b'"chainwork":"7"'))
    pack_all(here, packs)
    name = str(chain.hash_at(6))
    lost = chain.transaction_ids(name)[0]
    redis.delete(keys.pack_names)
    assert chain.locate(lost) is None and chain.block_bytes(name) is None
    found = here.node.repair._audit.run().findings
    assert {"of block 6", f"of transaction {lost}"} <= {item.name for item in found if item.kind == "index"}
    assert [item.kind for item in here.node.repair.run().findings] == ["header"]  # the index was made anew before
    assert chain.locate(lost) is not None and chain.block_bytes(name) is not None
    assert here.node.repair.run().findings == () and here.node.watchman.now() is None


# --- reorganisations ---


def test_a_reorganisation_below_packed_blocks_unpacks_them(here: TestNode, redis: Redis, packs: PackStore) -> None:
    """Ten blocks are left for eleven others, though all but the last are packed."""
    grow(here, 3)
    hashes = here.node.chain.hashes(1, 4)
    other = TestNode(here.redis, replace(here.settings, node="other"))
    for text in list(here.node.chain.stream(2, 4)):
        other.node.acceptor.accept(other.node.rules.read_block(json.loads(text)))
    grow(here, 10, seed=1)
    grow(other, 11, seed=2)
    assert pack_all(here, packs) == 12
    branch = here.node.reorganiser.begin(4)
    for text in other.node.chain.stream(5, 15):
        here.node.reorganiser.add(branch, here.node.rules.read_block(json.loads(text)))
    here.node.reorganiser.swap(branch)
    assert here.node.chain.tip().hash == other.node.chain.tip().hash
    assert here.node.chain.hashes(1, 4) == hashes and packs.totals().height == 0
    assert here.node.watchman.now() is None and here.node.repair.run().findings == ()
    packs.unpack_above(0, 0)
    assert_store_equals_replay(here.node, redis)
    here.clock.sleep(HELD_SECONDS + 1)
    assert pack_all(here, packs) == 12
    assert [place.height for place in map(here.node.chain.locate, ids_of(here)) if place] == heights_of(here)


def ids_of(here: TestNode) -> list[str]:
    chain = here.node.chain
    return [item for name in chain.hashes(1, chain.tip().height) for item in chain.transaction_ids(name)]


def heights_of(here: TestNode) -> list[int]:
    chain = here.node.chain
    return [stored.header.index for stored in chain.headers(1, 10**6) for _ in range(stored.transactions)]


def test_a_swap_is_refused_while_blocks_above_its_fork_are_packed(here: TestNode, packs: PackStore) -> None:
    grow(here, 13)
    branch = here.node.reorganiser.begin(3)
    pack_all(here, packs)
    store = here.node.reorganiser._branches
    store._packs.unpack_above = lambda height, now: 0  # type: ignore[method-assign] # packed again at once
    before = here.node.chain.tip()
    with pytest.raises(TipMoved):
        here.node.reorganiser.swap(branch, may_be_lighter=True)
    assert here.node.chain.tip() == before
