"""Pruning old blocks: headers, ids and the ledger stay, readers say what is gone, and nothing is lost or done twice,
whenever a process is killed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from services.audit.full import FullAudit
from services.connections.servers import as_store
from services.errors import Damaged, Pruned, TipMoved
from services.store import packing
from services.store.pack_form import PRUNED, VERSION, unpack
from services.store.packing import PackStore
from services.store.pruning import PruneStore
from services.store.schema import PRUNED_SCHEMA, SCHEMA, UPGRADE_SECONDS
from tests.support.keys import ALICE, KEYS, MINER
from tests.support.long_chains import grow, pack_all
from tests.support.nodes import TestNode
from tests.support.stored import dump

BLOCKS = 4
KEEP = 12


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BLOCKS", BLOCKS)


def begin(here: TestNode) -> None:
    """As the start of a node with QUARRY_KEEP, after which nothing is pruned for a while."""
    here.node.chain.schema.adopt(here.clock.now(), prunes=True)
    here.clock.sleep(UPGRADE_SECONDS + 1)


def prune_all(here: TestNode, keep: int = KEEP) -> int:
    done = 0
    while count := here.node.chain.prunes.prune_next(keep, here.clock.now()):
        done += count
    return done


@pytest.fixture
def long(here: TestNode) -> TestNode:
    """A node at height 42 whose first 40 blocks are packed, and which may prune."""
    begin(here)
    grow(here, 41)
    pack_all(here)
    return here


def kept(here: TestNode) -> dict[str, Any]:
    """What readers say that pruning must not change."""
    chain, height = here.node.chain, here.node.chain.tip().height
    hashes = chain.hashes(1, height)
    ids = [item for name in hashes for item in chain.transaction_ids(name)]
    return {
        "hashes": hashes,
        "headers": chain.headers(1, height),
        "one by one": [chain.header(name) for name in hashes],
        "tip": chain.tip(),
        "ids": ids,
        "places": chain.locate_many(ids),
        "histories": {key.address: chain.history(key.address, newest=0, limit=1000) for key in KEYS[:6]},
        "locator": (chain.locator(), chain.after([hashes[2]], 9)),
        "index": chain.stored.index_size(),
        "accounts": [chain.account(key.address) for key in KEYS[:6]],
        "genesis": (chain.block_bytes(hashes[0]), list(chain.stream(1, 1))),
    }


def test_headers_ids_indexes_and_the_ledger_stay_and_bodies_go(long: TestNode, redis: Redis) -> None:
    chain = long.node.chain
    before, last = kept(long), list(chain.stream(29, 42))
    size = chain.packs.totals().bytes
    assert prune_all(long) == 28  # of 42 blocks 12 are kept, and packs are pruned as a whole
    assert chain.kept_from() == 29
    assert kept(long) == before and list(chain.stream(29, 42)) == last
    totals = chain.packs.totals()
    assert (totals.pruned, totals.height, totals.blocks) == (28, 40, 40) and totals.bytes < size
    assert totals.bytes == sum(map(len, redis.hvals(chain.keys.packs)))
    forms = {int(start): value[0] for start, value in redis.hgetall(chain.keys.packs).items()}
    assert forms == {start: PRUNED if start < 29 else VERSION for start in range(1, 41, 4)}
    # Only the genesis block is stored by itself beside the last two.
    assert redis.hlen(chain.keys.blocks) == 3 and redis.hlen(chain.keys.undo) == 2


def test_each_reader_of_a_body_says_that_it_is_gone(long: TestNode) -> None:
    chain = long.node.chain
    prune_all(long)
    name = chain.hash_at(5)
    assert name is not None
    readers: list[Callable[[], Any]] = [
        lambda: chain.block_bytes(name),
        lambda: chain.block_object(name),
        lambda: chain.undo(name),
        lambda: chain.undo_text(name),
        lambda: list(chain.undos([name])),
        lambda: chain.stream(1, 2),
        lambda: chain.stream(28, 40),
        lambda: list(chain.read_blocks(chain.headers(5, 1))),
        lambda: long.node.reorganiser.begin(28),
        lambda: chain.packs.unpack_above(28, 0.0),
        lambda: long.node.wallet_blocks.block(chain.headers(5, 1)[0]),
        lambda: long.node.wallet_blocks.events(chain.headers(5, 1)[0]),
    ]
    before = dump(long.redis)
    for reader in readers:
        with pytest.raises(Pruned, match="height 29") as caught:
            reader()
        assert caught.value.kept_from == 29
    assert dump(long.redis) == before
    # What was never there is still unknown, and what is staged is still read.
    assert chain.block_bytes("ab" * 32) is None
    block = long.block()
    long.node.reorganiser._branches.stage(block, long.node.rules.apply(block, long.node.chain.entries(
        long.node.rules.touched(block.transactions))[1]).before, 0, long.clock.now())  # fmt: skip
    assert chain.block_bytes(block.hash) == block.canonical


def test_the_last_blocks_are_never_pruned_and_packs_are_pruned_as_a_whole(long: TestNode) -> None:
    chain = long.node.chain
    assert prune_all(long, keep=39) == 0 and chain.kept_from() == 1
    assert prune_all(long, keep=38) == 4 and chain.kept_from() == 5
    assert prune_all(long, keep=38) == 0
    long.mine()
    assert prune_all(long, keep=36) == 0
    assert prune_all(long, keep=35) == 4
    assert prune_all(long, keep=0) == 32 and chain.kept_from() == 41  # what is not packed is not pruned


def test_nothing_is_pruned_without_the_setting_and_housekeeping_prunes_by_it(long: TestNode) -> None:
    assert long.node.packer.keep == 0 and long.node.packer.run() == 0 and long.node.chain.kept_from() == 1
    pruning = replace(long.node.packer, keep=KEEP)
    assert pruning.run() == 28 and long.node.chain.kept_from() == 29
    assert pruning.run() == 0


# --- checks ---


def test_the_checks_judge_headers_below_and_everything_above(long: TestNode) -> None:
    prune_all(long)
    chain = long.node.chain
    assert long.node.watchman.at_start() is None and long.node.watchman.now() is None
    for _ in range(20):
        assert long.node.watchman.sample() is None
    outcome = FullAudit(chain, long.node.rules, long.clock).certain()
    assert outcome.findings == [] and outcome.broken is None
    assert outcome.transactions == chain.stored.index_size()
    assert outcome.replay.tip is not None and outcome.replay.tip.hash == chain.tip().hash
    assert long.node.repair.run().findings == ()
    grow(long, 3, seed=1)
    assert FullAudit(chain, long.node.rules, long.clock).certain().findings == []


DAMAGES: dict[str, tuple[Callable[[TestNode], Any], str]] = {
    "an account of a kept block": (
        lambda here: here.redis.hset(here.node.chain.keys.accounts, MINER, "1:1"), f"account {MINER}"
    ),
    "an account that no kept block names": (
        lambda here: here.redis.hset(here.node.chain.keys.accounts, KEYS[40].address, "5:0"), "digest in the tip"
    ),
    "a height of a pruned block": (
        lambda here: here.redis.lset(here.node.chain.keys.heights, 4, b"\0" * 32), "header of block 5"
    ),
    "a pack of pruned blocks": (
        lambda here: here.redis.hdel(here.node.chain.keys.packs, "5"), "header of block 5"
    ),
    "an undo record of a kept block": (
        lambda here: here.redis.hset(here.node.chain.keys.undo, here.node.chain.hash_at(42) or "", b"{}"),
        "undo of block 42",
    ),
    "a history of a kept block": (
        lambda here: here.redis.rpush(here.node.chain.keys.history(KEYS[50].address), "41:0"), "history of"
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_found_and_a_repair_says_that_it_cannot_mend_it(
    long: TestNode, damage: tuple[Callable[[TestNode], Any], str]
) -> None:
    prune_all(long)
    damage[0](long)
    found = FullAudit(long.node.chain, long.node.rules, long.clock).certain().findings
    assert any(str(item).startswith(damage[1]) for item in found), found
    with pytest.raises(Pruned, match="cannot be rebuilt"):
        long.node.repair.run()
    assert long.node.faults.read() is None  # nothing was written
    if not damage[1].startswith(("undo", "history")):  # those of which the start samples only some
        assert long.node.watchman.now() is not None


def test_what_is_pruned_during_a_check_is_no_damage(long: TestNode) -> None:
    """The check begins anew from the higher block."""
    run, left = long.node.chain.stored.blocks, [1, 1, 1]

    def slow(hashes: list[bytes], first: int = 0) -> Any:
        if left and first > 1:
            left.pop()
            long.node.chain.prunes.prune_next(KEEP, long.clock.now())
        return run(hashes, first)

    prune_all(long, keep=30)
    long.node.chain.stored.blocks = slow  # type: ignore[method-assign]
    assert FullAudit(long.node.chain, long.node.rules, long.clock).certain().findings == []
    assert not left


# --- killed, and meanwhile ---


class Killed(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["hgetall", "zrange", "lrange", "before the script", "after the script"])
def test_a_pruning_that_is_killed_at_any_step_loses_nothing(
    long: TestNode, redis: Redis, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, whole = kept(long), list(long.node.chain.stream(1, 42))
    dying = PruneStore(as_store(redis), long.node.chain.keys)

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    def run(name: str, keys: list[str], args: list[Any]) -> Any:
        if step == "after the script":
            original(name, keys, args)
        raise Killed

    original = dying._scripts.run
    if step.endswith("script"):
        monkeypatch.setattr(dying._scripts, "run", run)
    else:
        monkeypatch.setattr(dying._redis, step, die)
    with pytest.raises(Killed):
        dying.prune_next(KEEP, long.clock.now())
    monkeypatch.undo()
    monkeypatch.setattr(packing, "BLOCKS", BLOCKS)
    chain = long.node.chain
    done = BLOCKS if step == "after the script" else 0
    assert chain.kept_from() == done + 1 and list(chain.stream(done + 1, 42)) == whole[done:]
    assert kept(long) == before
    assert prune_all(long) == 28 - done
    assert kept(long) == before and list(chain.stream(29, 42)) == whole[28:]
    assert FullAudit(chain, long.node.rules, long.clock).certain().findings == []


def test_nothing_is_pruned_if_the_chain_has_changed_since_it_was_read(
    long: TestNode, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    prunes, keys = long.node.chain.prunes, long.node.chain.keys
    totals, tip = redis.hgetall(keys.packed), redis.hgetall(keys.tip)
    changes: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: redis.set(keys.journal, "{}"), lambda: redis.delete(keys.journal)),
        (lambda: redis.hset(keys.fault, "sentence", "wrong"), lambda: redis.delete(keys.fault)),
        (lambda: redis.set(keys.schema, SCHEMA), lambda: redis.set(keys.schema, PRUNED_SCHEMA)),
        (lambda: redis.hset(keys.packed, "changes", 999), lambda: redis.hset(keys.packed, mapping=totals)),
        (lambda: redis.hset(keys.packed, "held", 2**40), lambda: redis.hset(keys.packed, mapping=totals)),
        (lambda: redis.hset(keys.packed, "height", 3), lambda: redis.hset(keys.packed, mapping=totals)),
        (lambda: redis.hset(keys.packed, "pruned", 4), lambda: redis.hdel(keys.packed, "pruned")),
        (lambda: redis.hset(keys.tip, "height", 15), lambda: redis.hset(keys.tip, mapping=tip)),
        (lambda: redis.hset(keys.tip, "digest", "a:b:c:7"), lambda: redis.hset(keys.tip, mapping=tip)),
    ]
    original = prunes._scripts.run
    before = dump(redis)
    for change, back in changes:

        def run(name: str, names: list[str], args: list[Any], change: Callable[[], Any] = change) -> Any:
            if name == "prune":
                change()
            return original(name, names, args)

        monkeypatch.setattr(prunes._scripts, "run", run)
        assert prunes.prune_next(KEEP, long.clock.now()) == 0
        back()
        assert dump(redis) == before
    monkeypatch.setattr(prunes._scripts, "run", original)
    assert prunes.prune_next(KEEP, long.clock.now()) == BLOCKS


def test_two_that_prune_at_once_prune_each_pack_once(long: TestNode, redis: Redis) -> None:
    other, prunes = PruneStore(as_store(redis), long.node.chain.keys), long.node.chain.prunes
    run, before = prunes._scripts.run, kept(long)

    def late(name: str, keys: list[str], args: list[Any]) -> Any:
        if name == "prune":
            assert other.prune_next(KEEP, long.clock.now()) == BLOCKS
        return run(name, keys, args)

    prunes._scripts.run = late  # type: ignore[method-assign]
    assert prunes.prune_next(KEEP, long.clock.now()) == 0
    assert long.node.chain.kept_from() == BLOCKS + 1 and kept(long) == before


def test_a_page_that_is_sent_while_its_blocks_are_pruned_is_cut_off(long: TestNode) -> None:
    blocks = long.node.chain.stream(1, 42)
    assert next(blocks)
    prune_all(long)
    with pytest.raises(Pruned):
        list(blocks)


# --- blocks that could not be packed, repaired ones, damaged ones ---


def test_blocks_that_could_not_be_packed_are_pruned_as_well(
    here: TestNode, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(here)
    grow(here, 2)
    here.mine(*(here.sign(ALICE, here.node.chain.account(ALICE.address).nonce + i) for i in range(20)))
    grow(here, 17, seed=1)
    monkeypatch.setattr(packing, "MOST_TRANSACTIONS", 15)
    pack_all(here)
    chain = here.node.chain
    assert not redis.hexists(chain.keys.packs, "4") and redis.zscore(chain.keys.pack_starts, "4") == 4
    before = kept(here)
    prune_all(here, keep=8)
    assert chain.kept_from() > 5 and kept(here) == before
    name = chain.hash_at(4)
    assert name is not None and not redis.hexists(chain.keys.blocks, name) and redis.hexists(chain.keys.headers, name)
    with pytest.raises(Pruned):
        chain.block_bytes(name)
    assert FullAudit(chain, here.node.rules, here.clock).certain().findings == []
    assert here.node.watchman.now() is None


def test_records_that_a_repair_has_corrected_are_pruned_with_their_pack(long: TestNode, redis: Redis) -> None:
    chain = long.node.chain
    name = (chain.hash_at(6) or "").encode()
    [block] = chain.stored.blocks([name], 6)
    for key, value in ((chain.keys.blocks, block.text), (chain.keys.undo, block.undo), (chain.keys.ids, block.ids)):
        redis.hset(key, name, value or b"")
    prune_all(long)
    assert not redis.hexists(chain.keys.blocks, name) and not redis.hexists(chain.keys.undo, name)
    assert chain.stored.blocks([name], 6)[0].ids == block.ids
    assert FullAudit(chain, long.node.rules, long.clock).certain().findings == []


def test_a_pack_that_cannot_be_read_is_not_pruned(long: TestNode, redis: Redis) -> None:
    keys = long.node.chain.keys
    value = redis.hget(keys.packs, "5")
    redis.hset(keys.packs, "5", value[:-30] + b"\0" * 30)
    before = dump(redis)
    assert long.node.chain.prunes.prune_next(KEEP, long.clock.now()) == BLOCKS  # the pack below it
    assert long.node.chain.prunes.prune_next(KEEP, long.clock.now()) == 0
    assert long.node.chain.kept_from() == 5 and dump(redis) != before
    assert long.node.watchman.chain.stored.block((long.node.chain.hash_at(5) or "").encode()) is None


def test_a_pruned_pack_with_more_than_its_ids_is_damaged(long: TestNode, redis: Redis) -> None:
    prune_all(long)
    value = redis.hget(long.node.chain.keys.packs, "1")
    assert [item.text for item in unpack(value)] == [None] * BLOCKS
    with pytest.raises(Damaged):
        unpack(value + b"x")


# --- the form of the store ---


def test_only_a_node_that_prunes_gives_the_store_the_higher_form(here: TestNode, redis: Redis) -> None:
    keys = here.node.chain.keys
    grow(here, 20)
    pack_all(here)
    assert redis.get(keys.schema) == str(SCHEMA).encode() and prune_all(here, keep=1) == 0
    here.node.begin()
    assert redis.get(keys.schema) == str(SCHEMA).encode()
    here.settings = replace(here.settings, keep=KEEP)
    here.build(redis).begin()
    assert redis.get(keys.schema) == str(PRUNED_SCHEMA).encode()
    assert prune_all(here, keep=1) == 0  # the processes of the earlier release may still run
    here.clock.sleep(UPGRADE_SECONDS + 1)
    assert prune_all(here, keep=1) == 20
    here.settings = replace(here.settings, keep=0)  # it stays readable without the setting
    here.build(redis).begin()
    assert redis.get(keys.schema) == str(PRUNED_SCHEMA).encode() and here.node.chain.kept_from() == 21


# --- reorganisations ---


def branch_from(here: TestNode, redis: Redis, fork: int, length: int) -> Any:
    """A branch of empty blocks that leaves the chain after height `fork`, as if a peer had sent it."""
    branch = here.node.reorganiser.begin(fork)
    for i in range(length):
        template = here.node.rules.template(tuple(branch.window), (), KEYS[30].address, here.clock.now() + i)
        here.node.reorganiser.add(branch, here.sealed(template))
    return branch


def test_a_reorganisation_above_the_pruned_blocks_is_followed(long: TestNode, redis: Redis) -> None:
    prune_all(long)
    branch = branch_from(long, redis, 29, 15)
    long.node.reorganiser.swap(branch)
    assert long.node.chain.tip().height == 44 and long.node.chain.packs.totals().pruned == 28
    assert FullAudit(long.node.chain, long.node.rules, long.clock).certain().findings == []
    assert prune_all(long, keep=1) == 0  # nothing for ten minutes after packs were taken apart


def test_a_deeper_one_is_refused_by_a_sentence(long: TestNode, redis: Redis) -> None:
    prune_all(long)
    before = dump(redis)
    for fork in (28, 27, 1, 0):
        with pytest.raises(Pruned, match=f"after height {fork}, .* from height 29 on .*cannot follow"):
            long.node.reorganiser.begin(fork)
    assert dump(redis) == before


def test_a_branch_whose_fork_point_is_pruned_meanwhile_is_refused(long: TestNode, redis: Redis) -> None:
    branch = branch_from(long, redis, 20, 24)
    prune_all(long)
    with pytest.raises((Pruned, TipMoved)):
        long.node.reorganiser.swap(branch)
    assert long.node.chain.tip().height == 42 and not long.node.chain.has_journal()
    assert PackStore(as_store(redis), long.node.chain.keys).totals().pruned == 28
