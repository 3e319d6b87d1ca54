"""Going back: after any of it, the store is what its blocks give, and the mempool is what it should be."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from services.audit.full import FullAudit
from services.connections.servers import as_store
from services.development.going_back import CannotGoBack
from services.errors import LedgerDiffers, PolicyError
from services.store import snapshots
from services.store.faults import Finding
from services.store.records import Tip
from services.store.scripts import Scripts
from services.store.searches import Searched
from shared.block import Block
from shared.transaction import Transaction
from tests.support.keys import ALICE, BOB, CAROL, DAVE
from tests.support.nodes import TestNode, make_settings, mine, request_of, round_of
from tests.support.searching import claim_of
from tests.support.stored import assert_mempool_agrees, assert_store_equals_replay

SENDERS = (ALICE, BOB, CAROL, DAVE)


@pytest.fixture
def mining(redis: Redis) -> TestNode:
    """A node that mines without being asked."""
    return TestNode(redis, make_settings(automine=True))


def waiting(here: TestNode) -> list[str]:
    """Ids in the mempool, best fee first, then arrival."""
    return [entry.id for page in here.node.pool.by_fee() for entry in page]


def record(here: TestNode, item: Transaction) -> str:
    found = here.node.pool.record(item.id)
    return "" if found is None else str(found["status"])


def check(here: TestNode) -> None:
    """Nothing is left to do, the full check finds nothing, and the mempool's keys agree."""
    assert not here.node.chain.has_journal()
    assert here.redis.exists(here.node.chain.keys.restoring) == 0
    outcome = FullAudit(here.node.chain, here.node.rules, here.clock).run()
    assert outcome.findings == []
    assert_store_equals_replay(here.node, here.redis)
    assert_mempool_agrees(here.node, here.redis)


def revert(here: TestNode, snapshot_id: int) -> Tip:
    assert here.node.going_back.revert(snapshot_id)
    check(here)
    return here.node.chain.tip()


def test_a_snapshot_brings_back_the_chain_and_the_mempool(here: TestNode) -> None:
    mined_before = here.admit(ALICE, 0)
    here.mine_pool()
    waits = [here.admit(ALICE, 1), here.admit(BOB, 0, fee="0.5"), here.admit(CAROL, 0)]
    before, order, balances = (
        here.node.chain.tip(),
        waiting(here),
        [here.node.chain.account(key.address) for key in SENDERS],
    )
    texts = here.redis.hgetall(here.node.chain.keys.entries)
    assert here.node.going_back.snapshot() == 0

    replaced_by = here.admit(CAROL, 0, fee="2", amount="3")
    here.mine_pool()
    newer = [here.admit(ALICE, 2), here.admit(DAVE, 0)]
    here.mine_pool()
    queued = here.admit(DAVE, 1)
    assert here.node.chain.tip().height == before.height + 2 and waiting(here) == [queued.id]
    assert record(here, waits[2]) == "replaced"

    after = revert(here, 0)
    assert (after.hash, after.height, after.chainwork, after.supply) == (
        before.hash, before.height, before.chainwork, before.supply,
    )  # fmt: skip
    assert waiting(here) == order and set(order) == {item.id for item in waits}
    assert here.redis.hgetall(here.node.chain.keys.entries) == texts  # with the time of their admission
    assert [here.node.chain.account(key.address) for key in SENDERS] == balances
    assert [record(here, item) for item in (*newer, queued, replaced_by)] == ["reverted"] * 4
    assert [record(here, item) for item in (*waits, mined_before)] == [""] * 4
    assert here.node.chain.locate(mined_before.id) is not None
    assert here.node.chain.locate(newer[0].id) is None
    # The same transactions can be sent again, and the mempool goes on where it was.
    here.node.submit_one(newer[1])
    assert record(here, newer[1]) == ""
    here.mine_pool()
    assert waiting(here) == []
    check(here)


def test_a_snapshot_of_the_tip_changes_only_the_mempool(mining: TestNode) -> None:
    here = mining
    here.mine()
    stays = here.admit(ALICE, 0)
    taken = here.node.going_back.snapshot()
    last = here.node.mining.events.last()
    leaves = here.admit(BOB, 0)
    tip = here.node.chain.tip()
    assert revert(here, taken) == tip
    assert waiting(here) == [stays.id] and record(here, leaves) == "reverted"
    kinds = [event.type for event in here.node.mining.events.since(last, 0.1)]
    assert kinds == ["transaction", "round"]  # with the restored mempool; no reorganisation has happened


def test_ids_count_from_0_and_a_revert_removes_later_snapshots(here: TestNode) -> None:
    going_back = here.node.going_back
    assert [going_back.snapshot() for _ in range(4)] == [0, 1, 2, 3]
    assert going_back.revert(2)
    assert [going_back.revert(i) for i in (2, 3, 99)] == [False] * 3
    assert going_back.snapshot() == 4  # never used again
    assert going_back.revert(1) and not going_back.revert(4)
    assert going_back.revert(0) and not going_back.revert(0)
    keys = [name.decode() for name in here.redis.scan_iter("*snapshot*")]
    assert keys == [here.node.chain.keys.snapshot_totals]
    assert here.redis.hget(here.node.chain.keys.snapshot_totals, "bytes") == b"0"


def test_snapshots_survive_the_processes_of_the_node(here: TestNode) -> None:
    here.admit(ALICE, 0)
    taken = here.node.going_back.snapshot()
    here.mine_pool()
    another = here.build(here.redis)
    assert another.going_back.revert(taken)
    check(here)
    assert len(waiting(here)) == 1


def test_the_oldest_snapshots_go(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MOST", 3)
    ids = [here.node.going_back.snapshot() for _ in range(5)]
    assert [here.node.going_back._snapshots.get(i) is not None for i in ids] == [False, False, True, True, True]
    here.admit(ALICE, 0)
    monkeypatch.setattr(snapshots, "ALL_BYTES", 2 * used(here))
    ids = [here.node.going_back.snapshot() for _ in range(3)]
    assert [here.node.going_back._snapshots.get(i) is not None for i in ids] == [False, True, True]
    assert here.node.going_back.revert(ids[1])
    monkeypatch.setattr(snapshots, "MOST_BYTES", used(here) - 1)
    with pytest.raises(PolicyError) as error:
        here.node.going_back.snapshot()
    assert error.value.code == "snapshot_too_large"


def used(here: TestNode) -> int:
    size, entries = here.node.pool.totals()
    return entries + 140 * size


def test_a_rollback_takes_blocks_off_and_leaves_what_waits(here: TestNode) -> None:
    blocks = [here.mine(here.sign(ALICE, i)) for i in range(3)]
    ends, stays = here.admit(ALICE, 3), here.admit(BOB, 0)
    tip = here.node.chain.tip()
    here.node.going_back.rollback(2)
    check(here)
    assert here.node.chain.tip().hash == blocks[0].hash and here.node.chain.tip().height == tip.height - 2
    assert {*waiting(here)} == {ends.id, stays.id}  # the first of them waits for nonces that are gone
    assert here.node.pool.next_nonce(ALICE.address) == 1
    assert [record(here, block.transactions[1]) for block in blocks] == ["", "reverted", "reverted"]
    assert here.node.pool.record(blocks[2].transactions[1].id) == {
        "status": "reverted", "reason": "its block was rolled back", "at": here.clock.now(),
    }  # fmt: skip
    here.mine_pool()
    assert waiting(here) == [ends.id]


def test_a_depth_that_the_chain_does_not_have(here: TestNode) -> None:
    here.mine()
    before = here.redis.hgetall(here.node.chain.keys.tip)
    for depth in (0, -1, 2, 3, 2**64):
        with pytest.raises(CannotGoBack, match="The chain has 1 blocks above its first"):
            here.node.going_back.rollback(depth)
    assert here.redis.hgetall(here.node.chain.keys.tip) == before


def test_a_round_opens_after_a_reset_for_a_request_that_waits(here: TestNode) -> None:
    here.mine()
    asked = here.node.requests.ask()
    before = request_of(here.node.mining, asked).round_id
    here.node.going_back.reset()
    opened = here.node.mining.situation().open_round
    assert opened and opened != before and request_of(here.node.mining, asked).round_id == opened
    assert round_of(here.node.mining, opened).height == 2


def test_a_reset_leaves_genesis_and_nothing_else(here: TestNode) -> None:
    fresh = here.node.rules.genesis().hash
    mined = [here.mine(here.sign(ALICE, i)).transactions[1] for i in range(2)]
    here.node.going_back.snapshot()
    waits = here.admit(BOB, 0)
    here.node.going_back.reset()
    check(here)
    tip = here.node.chain.tip()
    assert (tip.hash, tip.height) == (fresh, 1) and waiting(here) == []
    assert [record(here, item) for item in (*mined, waits)] == ["reverted"] * 3
    assert not here.node.going_back.revert(0)
    waits = here.admit(BOB, 0)
    here.node.going_back.reset()  # at genesis: the mempool alone
    assert waiting(here) == [] and record(here, waits) == "reverted"
    check(here)


def test_the_identical_block_is_found_again_and_appends(here: TestNode) -> None:
    here.mine()
    taken = here.node.going_back.snapshot()
    block = here.mine(here.sign(ALICE, 0))
    revert(here, taken)
    assert here.node.chain.header(block.hash) is not None  # it is stored still
    assert here.node.acceptor.accept(block).block.hash == here.node.chain.tip().hash == block.hash
    check(here)
    assert here.node.chain.locate(block.transactions[1].id) is not None


def test_the_abandoned_branch_stays_stored_and_is_not_adopted_again(here: TestNode) -> None:
    blocks = [here.mine() for _ in range(4)]
    here.node.going_back.rollback(3)
    tip = here.node.chain.tip()
    here.node.reorganiser.finish()
    assert here.node.resolver.resolve().replaced is False
    here.clock.sleep(10 * 3600)
    assert here.node.reorganiser.forget_abandoned() == 0
    assert here.node.resolver.resolve_heard().replaced is False
    assert here.node.chain.tip() == tip
    assert all(here.node.chain.header(block.hash) is not None for block in blocks)


def test_a_snapshot_whose_blocks_have_left_the_chain(here: TestNode) -> None:
    for number in range(3):
        here.mine(here.sign(ALICE, number))
    last = here.admit(BOB, 0)
    taken, tip = here.node.going_back.snapshot(), here.node.chain.tip()
    here.node.going_back.rollback(3)
    here.clock.sleep(5)
    here.mine(here.sign(CAROL, 0), recipient=CAROL.address)
    assert revert(here, taken).hash == tip.hash
    assert waiting(here) == [last.id]
    assert here.node.chain.account(ALICE.address).nonce == 3 and here.node.chain.account(CAROL.address).nonce == 0


def test_a_snapshot_whose_blocks_are_gone(here: TestNode) -> None:
    tip = here.mine()
    taken = here.node.going_back.snapshot()
    here.node.going_back.rollback(1)
    for key in ("blocks", "headers", "undo", "ids"):
        here.redis.hdel(getattr(here.node.chain.keys, key), tip.hash)
    with pytest.raises(CannotGoBack, match="The blocks of snapshot 0x0 are not stored any more: block 2 is missing"):
        here.node.going_back.revert(taken)
    check(here)


def test_a_marked_state_is_left_alone(here: TestNode) -> None:
    here.mine()
    taken = here.node.going_back.snapshot()
    here.node.faults.mark("t" * 32, [Finding("supply", "in the tip", "1", "2")], here.clock.now())
    for attempt in (here.node.going_back.snapshot, lambda: here.node.going_back.revert(taken),
                    lambda: here.node.going_back.rollback(1), here.node.going_back.reset):  # fmt: skip
        with pytest.raises(LedgerDiffers):
            attempt()


def test_a_node_with_peers_stays(here: TestNode) -> None:
    here.mine()
    taken = here.node.going_back.snapshot()
    here.mine()
    tip = here.node.chain.tip()
    here.node.peers.add("http://127.0.0.1:7001")
    for attempt in (lambda: here.node.going_back.revert(taken), lambda: here.node.going_back.rollback(1),
                    here.node.going_back.reset):  # fmt: skip
        with pytest.raises(CannotGoBack, match="This node has 1 peer"):
            attempt()
    assert here.node.chain.tip() == tip and here.node.going_back._snapshots.get(taken) is not None


def test_what_others_keep_comes_back_with_it(redis: Redis) -> None:
    here = TestNode(redis)
    told: list[dict[str, str]] = []
    here.node.going_back._kept = lambda: {"clock_offset": "12"}  # type: ignore[method-assign]
    here.node.reorganiser._finisher._on_restored = lambda fields: told.append(dict(fields))  # type: ignore[method-assign]
    taken = here.node.going_back.snapshot()
    here.mine()
    assert here.node.going_back.revert(taken)
    here.mine()
    here.node.going_back.rollback(1)
    assert told == [{"clock_offset": "12"}]
    here.node.going_back.reset()
    assert told[1:] == [{}]


# --- rounds -----------------------------------------------------------------------------------------------------------


def test_the_open_round_is_replaced_and_a_request_goes_on_waiting(here: TestNode) -> None:
    answered = here.node.requests.ask()
    block = mine(here.node)
    taken = here.node.going_back.snapshot()
    mine(here.node)
    asked = here.node.requests.ask()
    old = request_of(here.node.mining, asked).round_id
    assert here.node.going_back.revert(taken)
    assert round_of(here.node.mining, old).state == "cancelled"
    new = request_of(here.node.mining, asked)
    assert new.is_waiting and new.round_id not in (None, old)
    opened = round_of(here.node.mining, new.round_id)
    assert (opened.parent, opened.height) == (block.hash, block.index + 1)
    assert mine(here.node).hash == request_of(here.node.mining, asked).block
    assert request_of(here.node.mining, answered).block == block.hash
    check(here)


def test_a_request_that_a_reverted_block_has_answered_stays_answered(here: TestNode) -> None:
    taken = here.node.going_back.snapshot()
    asked = here.node.requests.ask()
    block = mine(here.node)
    assert here.node.going_back.revert(taken)
    assert request_of(here.node.mining, asked).block == block.hash
    assert here.node.mining.situation().open_round == ""


def test_a_proof_that_was_found_before_seals_nothing(mining: TestNode) -> None:
    """The tip is the same, but the template holds a transaction that has left."""
    here = mining
    taken = here.node.going_back.snapshot()
    leaves = here.sign(ALICE, 0)
    here.node.submit_one(leaves)
    round_id = here.node.rounds.ensure_open()
    claim = claim_of(here.node, str(round_id), "worker", 100, Searched())
    found = here.node.mining.template(str(round_id))
    assert claim is not None and found is not None
    assert here.node.going_back.revert(taken)
    block = here.sealed(found[1])
    assert here.node.rounds.seal(claim, json.loads(block.canonical)["proof"], "worker") is None
    assert here.node.chain.tip().height == 1 and waiting(here) == [] and record(here, leaves) == "reverted"


def test_a_template_that_was_made_before_opens_no_round(mining: TestNode) -> None:
    here = mining
    taken = here.node.going_back.snapshot()
    here.admit(ALICE, 0)
    make = here.node.rounds._templates.make
    calls: list[str] = []

    def late(recipient: str) -> Any:
        made = make(recipient)
        if not calls:
            calls.append("the first template")
            assert here.build(here.redis).going_back.revert(taken)
        return made

    here.node.rounds._templates.make = late  # type: ignore[method-assign]
    assert here.node.rounds.ensure_open() is None  # the second look finds an empty mempool
    assert calls and here.node.mining.situation().open_round == ""


# --- interruptions, and others at the same time -----------------------------------------------------------------------


class Death(BaseException):
    """The process is killed here."""


class Watched(Scripts):
    """Scripts that call `at(name)` before each run."""

    def __init__(self, redis: Redis, at: Callable[[int], None]) -> None:
        super().__init__(as_store(redis))
        self._at = at
        self.names: list[str] = []

    def run(self, name: str, keys: list[str], args: list[Any]) -> Any:
        self._at(len(self.names))
        self.names.append(name)
        return super().run(name, keys, args)

    def run_many(self, name: str, keys: list[str], calls: list[list[Any]]) -> list[Any]:
        return [self.run(name, keys, args) for args in calls]


class Scene:
    """A snapshot with transactions of three senders, and two blocks and more transactions after it."""

    def __init__(self, redis: Redis) -> None:
        redis.flushall()
        self.here = here = TestNode(redis)
        self.mined = here.mine(here.sign(ALICE, 0)).transactions[1]
        self.kept = [here.admit(ALICE, 1), here.admit(BOB, 0), here.admit(CAROL, 0, fee="1")]
        self.tip, self.order = here.node.chain.tip(), waiting(here)
        self.taken = here.node.going_back.snapshot()
        here.mine_pool()
        here.admit(ALICE, 2)
        here.mine_pool()
        self.newer = [here.admit(ALICE, 3), here.admit(DAVE, 0)]

    def check(self) -> None:
        check(self.here)
        assert self.here.node.chain.tip().hash == self.tip.hash
        assert waiting(self.here) == self.order
        assert [record(self.here, item) for item in self.newer] == ["reverted"] * 2
        assert [record(self.here, item) for item in self.kept] == [""] * 3


def test_death_between_any_two_slices(redis: Redis) -> None:
    scene = Scene(redis)
    watched = scene.here.node.reorganiser._branches._scripts = Watched(redis, lambda number: None)
    assert scene.here.node.going_back.revert(scene.taken)
    scene.check()
    count = len(watched.names)
    assert watched.names[0] == "swap" and watched.names[-1] == "finish" and "restore" in watched.names
    for last in range(count):
        scene = Scene(redis)
        before = scene.here.node.chain.tip()

        def die(number: int, last: int = last) -> None:
            if number == last:
                raise Death

        scene.here.node.reorganiser._branches._scripts = Watched(redis, die)
        with pytest.raises(Death):
            scene.here.node.going_back.revert(scene.taken)
        after = scene.here.build(redis)
        if last == 0:  # nothing had happened
            assert after.chain.tip() == before and after.going_back.revert(scene.taken)
        after.reorganiser.finish()  # as housekeeping, or whoever wants to append
        scene.check()
        assert not after.going_back.revert(scene.taken)


def test_two_processes_revert_at_once(redis: Redis, valkey: Any) -> None:
    """One of them does it; the other finds no such snapshot."""
    scene = Scene(redis)
    nodes = [scene.here.build(redis) for _ in range(4)]
    start, results = threading.Barrier(len(nodes)), []

    def go(index: int) -> None:
        start.wait()
        results.append(nodes[index].going_back.revert(scene.taken))

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(nodes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]
    scene.check()


def test_blocks_that_come_meanwhile_are_taken_off_too(redis: Redis) -> None:
    scene = Scene(redis)
    more: list[Block] = []

    def append(number: int) -> None:
        if number == 0:
            more.append(scene.here.mine())

    scene.here.node.reorganiser._branches._scripts = Watched(redis, append)
    assert scene.here.node.going_back.revert(scene.taken)
    scene.check()
    assert more and scene.here.node.chain.locate(more[0].transactions[0].id) is None
