"""A development node's state: saved and loaded by another node, and refused whole where anything is wrong."""

import dataclasses
import gzip
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from redis import Redis

from services.chain.reorganiser import Branch
from services.development.state_file import BadState, State, decode, encode
from services.development.states import States
from services.system.programs import ROOT
from shared.canonical import canonical
from shared.transaction import Transaction
from tests.support.keys import ALICE, BOB, CAROL, DAVE, MINER
from tests.support.nodes import TestNode, make_settings
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay, digest
from worker.state_files import load_state


@pytest.fixture
def other(redis: Redis, here: TestNode) -> TestNode:
    """A fresh node of the same chain."""
    return TestNode(redis, dataclasses.replace(here.settings, node="other"), clock=here.clock)


def extend(node: TestNode, branch: Branch, count: int, *transactions: Transaction, miner: str = CAROL.address) -> None:
    """Add blocks to a branch; the first has the transactions."""
    for number in range(count):
        items = transactions if number == 0 else ()
        template = node.node.rules.template(tuple(branch.window), items, miner, node.clock.now())
        node.node.reorganiser.add(branch, node.sealed(template))


def filled(node: TestNode) -> TestNode:
    """A chain with a branch that was left, one that is not complete, a mempool, and records of every kind."""
    node.mine(node.sign(ALICE, 0), node.sign(BOB, 0, amount="2"))
    left = node.sign(ALICE, 1, amount="3")
    node.mine(left)
    node.mine(node.sign(BOB, 1))
    node.clock.time += 5
    reorganiser = node.node.reorganiser
    branch = reorganiser.begin(2)
    extend(node, branch, 5, node.sign(DAVE, 0), node.sign(BOB, 1, amount="7"))
    reorganiser.swap(branch)  # Alice's transaction waits again; Bob's first one with this nonce is dropped
    unfinished = reorganiser.begin(5)
    extend(node, unfinished, 1, miner=DAVE.address)
    second = reorganiser.begin(5)
    extend(node, second, 1, node.sign(CAROL, 0))
    node.clock.time += 0.25
    node.admit(CAROL, 0, fee="0.1")
    node.admit(ALICE, 2, fee="0.3")
    node.clock.time += 1
    node.admit(CAROL, 0, fee="0.2")
    node.admit(DAVE, 5, fee="0.2")  # after a gap
    node.admit(CAROL, 1, fee="0.2")
    dropped = node.admit(BOB, 2)
    node.node.pool.drop([dropped.id], "evicted", "by the test", node.clock.now())
    return node


def waiting(node: TestNode) -> list[tuple[Any, ...]]:
    """The mempool, best fee first, then arrival."""
    return [
        (entry.id, entry.sender, entry.nonce, entry.admitted_at, entry.replacements, entry.text)
        for page in node.node.pool.by_fee()
        for entry in page
    ]


def check_equal(node: TestNode, other: TestNode) -> None:
    """Both have the same chain, ledger, mempool, records and stale blocks, and both are sound."""
    assert other.node.chain.tip() == node.node.chain.tip()
    assert waiting(other) == waiting(node)
    first, second = (item.node.states._store for item in (node, other))
    assert dict(second.records()) == dict(first.records())
    assert second.stale() == first.stale()
    for key in (ALICE, BOB, CAROL, DAVE):
        assert other.node.chain.account(key.address) == node.node.chain.account(key.address)
        assert other.node.pool.next_nonce(key.address) == node.node.pool.next_nonce(key.address)
    assert_store_equals_replay(other.node, other.redis)
    assert other.node.watchman.at_start() is None and not other.node.chain.is_marked()


# --- Round trips --------------------------------------------------------------------------------------------------


def test_another_node_gets_all_of_it_and_writes_the_same_bytes(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    state = decode(content)
    assert (len(state.blocks), len(state.stale), len(state.waiting), len(state.left)) == (6, 4, 5, 3)
    assert sorted(item.staged_at is None for item in state.stale) == [False, False, True, True]
    other.node.states.load(content)
    check_equal(here, other)
    assert other.node.states.dump() == content
    assert here.node.states.dump() == content, "nor does the time matter"


def test_loading_again_changes_nothing(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    for _ in range(2):
        other.node.states.load(gzip.compress(content, mtime=0))
        check_equal(here, other)


def test_an_empty_state(here: TestNode, other: TestNode) -> None:
    content = here.node.states.dump()
    assert content.count(b"\n") == 4
    other.node.states.load(content)
    check_equal(here, other)
    assert not other.node.states.is_begun()


def test_the_other_node_goes_on(here: TestNode, other: TestNode) -> None:
    """What was loaded is mined, reorganised and dropped as if the node had seen it all happen."""
    content = filled(here).node.states.dump()
    other.node.states.load(content)
    mined = other.mine_pool()
    assert len(mined.block.transactions) == 5, "the reward, both of Alice's, and both of Carol's"
    assert [entry[1:3] for entry in waiting(other)] == [(DAVE.address, 5)]
    branch = other.node.reorganiser.begin(2)
    extend(other, branch, 7)
    other.node.reorganiser.swap(branch)
    assert_store_equals_replay(other.node, other.redis)
    assert {entry[1:3] for entry in waiting(other)} == {
        (ALICE.address, 1), (ALICE.address, 2), (BOB.address, 1), (CAROL.address, 0), (CAROL.address, 1),
        (DAVE.address, 0), (DAVE.address, 5),
    }  # fmt: skip


def test_a_state_that_is_old_does_not_expire_at_once(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    other.clock.time += 400 * 86_400
    other.node.states.load(content)
    records = dict(other.node.states._store.records())
    assert (other.node.mempool.expire(), len(waiting(other))) == (0, 5)
    assert dict(other.node.states._store.records()) == records
    other.clock.time += other.settings.expiry_seconds + 1
    assert other.node.mempool.expire() == 5


def test_branches_that_are_not_complete_are_forgotten_in_their_time(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    other.node.states.load(content)
    other.clock.time += 10_000
    assert other.node.reorganiser.forget_abandoned() == 2
    assert len(other.node.states._store.stale()) == 2


def test_a_node_with_a_chain_of_its_own_takes_the_heavier_one(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    other.mine(other.sign(ALICE, 0, amount="9"), recipient=BOB.address)
    mine = other.admit(DAVE, 9)
    other.node.states.load(content)
    assert other.node.chain.tip() == here.node.chain.tip()
    assert waiting(other) == waiting(here)
    record = other.node.pool.record(mine.id)
    assert record is not None and (record["status"], record["reason"]) == ("dropped", "another state was loaded")
    assert_store_equals_replay(other.node, other.redis)


def test_a_lighter_chain_is_taken_where_nobody_would_bring_the_other_back(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    for nonce in range(8):
        other.mine(other.sign(DAVE, nonce), recipient=BOB.address)
    other.node.peers.add("http://127.0.0.1:1")
    check = unchanged(other)
    with pytest.raises(BadState, match=r"has less work than this node's, and this node has peers"):
        other.node.states.load(content)
    check()
    other.node.peers.remove("http://127.0.0.1:1")
    other.node.states.load(content)
    assert other.node.chain.tip() == here.node.chain.tip()
    assert waiting(other) == waiting(here)
    assert_store_equals_replay(other.node, other.redis)


def without_staged(node: TestNode) -> str:
    """The digest of a node's store once the blocks that a failed attempt left are forgotten."""
    node.clock.time += 10_000
    node.node.reorganiser.forget_abandoned()
    return digest(node.redis, node.settings.node)


def test_a_node_goes_back_to_its_own_earlier_state(here: TestNode) -> None:
    here.mine()
    content = here.node.states.dump()
    assert here.node.states.holds(decode(content))
    here.mine(here.sign(ALICE, 0))
    assert here.node.states.holds(decode(content))
    here.node.states.load(content)
    assert here.node.chain.tip().height == 2
    assert_store_equals_replay(here.node, here.redis)
    here.mine(here.sign(ALICE, 0))
    assert here.node.chain.tip().height == 3


def test_a_state_is_loaded_into_a_fresh_node_or_found_in_one_that_goes_on(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    load_state(other.node, content)
    check_equal(here, other)
    other.mine()
    other.redis.delete(other.node.chain.keys.run)  # each start writes another one
    before = digest(other.redis, "other")

    def after() -> str:
        other.redis.delete(other.node.chain.keys.run)
        return digest(other.redis, "other")

    load_state(other.node, content, resume=True)
    assert after() == before
    with pytest.raises(BadState, match="holds a chain already"):
        load_state(other.node, content)
    here.mine(recipient=BOB.address)
    with pytest.raises(BadState, match="holds a chain already"):
        load_state(other.node, here.node.states.dump(), resume=True)
    assert after() == before


# --- Damage -------------------------------------------------------------------------------------------------------


def unchanged(node: TestNode) -> Callable[[], None]:
    before = without_staged(node)

    def check() -> None:
        assert without_staged(node) == before

    return check


def test_every_altered_byte_is_found(here: TestNode, other: TestNode) -> None:
    content = filled(here).node.states.dump()
    check = unchanged(other)
    step = max(1, len(content) // 200)
    for position in [*range(0, len(content), step), *range(len(content) - 90, len(content))]:
        altered = bytearray(content)
        altered[position] ^= 0x04
        with pytest.raises(BadState, match=r"^(The state file|This is not a state file).*\.$"):
            other.node.states.load(bytes(altered))
    check()


@pytest.mark.parametrize("packed", [False, True])
def test_every_cut_is_found(here: TestNode, other: TestNode, packed: bool) -> None:
    content = filled(here).node.states.dump()
    content = gzip.compress(content, mtime=0) if packed else content
    check = unchanged(other)
    for length in range(0, len(content), max(1, len(content) // 50)):
        with pytest.raises(BadState):
            other.node.states.load(content[:length])
    with pytest.raises(BadState):
        other.node.states.load(content + b"\n")
    check()


# --- What a hand has written --------------------------------------------------------------------------------------


def change_block(position: int, **fields: Any) -> Callable[[State], State]:
    def changed(state: State) -> State:
        blocks = list(state.blocks)
        blocks[position] = canonical({**json.loads(blocks[position]), **fields})
        return dataclasses.replace(state, blocks=blocks)

    return changed


def change_waiting(**fields: Any) -> Callable[[State], State]:
    def changed(state: State) -> State:
        first, *others = state.waiting
        text = canonical({**json.loads(first.text), **fields})
        return dataclasses.replace(state, waiting=[dataclasses.replace(first, text=text), *others])

    return changed


def swapped(items: Sequence[Any]) -> list[Any]:
    return [items[1], items[0], *items[2:]]


def orphaned(state: State) -> State:
    stale = [item for item in state.stale if json.loads(item.text)["index"] != 3]
    assert len(stale) < len(state.stale)
    return dataclasses.replace(state, stale=stale)


def forged_stale(state: State) -> State:
    text = canonical({**json.loads(state.stale[0].text), "difficulty": 2})
    return dataclasses.replace(state, stale=[dataclasses.replace(state.stale[0], text=text), *state.stale[1:]])


def twice(state: State) -> State:
    return dataclasses.replace(state, waiting=[*state.waiting, state.waiting[0]])


def both(state: State) -> State:
    transaction = json.loads(state.waiting[0].text)
    from shared.transaction import read_transaction

    left = dataclasses.replace(state.left[0], id=read_transaction(transaction).id)
    return dataclasses.replace(state, left=[left])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_block(2, difficulty=2), "breaks a rule (wrong_difficulty)"),
        (change_block(0, timestamp=10), "timestamp_too_low"),
        (change_block(1, timestamp=2**40), "lies more than"),
        (change_block(3, transactions=[]), "wrong_root|these transactions have"),
        (change_block(3, more=1), "A block of the state cannot be used: A header has exactly"),
        (lambda state: dataclasses.replace(state, blocks=swapped(state.blocks)), "wrong_index"),
        (lambda state: dataclasses.replace(state, blocks=state.blocks[1:]), "wrong_index"),
        (lambda state: dataclasses.replace(state, blocks=[b"[", *state.blocks]), "A block of the state cannot be used"),
        (orphaned, "A stale block of the state, at height 4, follows no block of it."),
        (forged_stale, "wrong_difficulty"),
        (change_waiting(amount="8"), "A waiting transaction of the state cannot be used"),
        (change_waiting(signature="00"), "A waiting transaction of the state cannot be used"),
        (twice, "two waiting transactions"),
        (both, "has left the mempool"),
        (lambda state: dataclasses.replace(state, spec=make_spec(chain_id=77)), "their chain specs differ"),
        (lambda state: dataclasses.replace(state, parts={"sail": 1}), "has a part, sail, that this node cannot load"),
    ],
)
def test_what_breaks_a_rule_is_named_and_nothing_is_loaded(
    here: TestNode, other: TestNode, change: Callable[[State], State], words: str
) -> None:
    state = decode(filled(here).node.states.dump())
    check = unchanged(other)
    with pytest.raises(BadState) as found:
        other.node.states.load(encode(change(state)))
    assert any(word in str(found.value) for word in words.split("|")), found.value
    assert str(found.value).count("\n") == 0
    check()


def test_a_nonce_that_the_chain_has_used_is_refused(here: TestNode, other: TestNode) -> None:
    used = here.admit(ALICE, 0)
    before = decode(here.node.states.dump())
    here.mine(used)
    state = dataclasses.replace(decode(here.node.states.dump()), waiting=before.waiting)
    check = unchanged(other)
    with pytest.raises(BadState, match="a nonce that its chain has used"):
        other.node.states.load(encode(state))
    check()


def test_a_marked_store_takes_nothing(here: TestNode, other: TestNode) -> None:
    from services.errors import LedgerDiffers

    content = filled(here).node.states.dump()
    other.redis.hset(other.node.chain.keys.fault, "sentence", "It differs.")
    with pytest.raises(LedgerDiffers):
        other.node.states.load(content)
    assert other.node.chain.tip().height == 1


def test_other_chains_have_no_state_files(redis: Redis) -> None:
    spec = make_spec(name="grown", development=False)
    node = TestNode(redis, make_settings(spec, node="grown"))
    for act in (node.node.states.dump, lambda: node.node.states.load(b"")):
        with pytest.raises(BadState, match="State files are for development chains"):
            act()


# --- Parts --------------------------------------------------------------------------------------------------------


class Clock:
    """A part as another room would add it."""

    name = "clock"

    def __init__(self, offset: int | None) -> None:
        self.offset = offset

    def dump(self) -> Any:
        return self.offset

    def check(self, value: Any) -> None:
        if type(value) is not int:
            raise BadState("The clock of the state is not a number.")

    def load(self, value: Any) -> None:
        self.offset = value


def states_with(node: TestNode, clock: Clock) -> States:
    of = node.node
    store = of.states._store
    return States(
        of.chain, of.pool, store, of.reorganiser, of.rules, of.clock, lambda: "", lambda: False, [clock]
    )  # fmt: skip


def test_a_part_is_kept_and_checked_before_anything_is_written(here: TestNode, other: TestNode) -> None:
    here.mine()
    content = states_with(here, Clock(60)).dump()
    clock = Clock(None)
    states_with(other, clock).load(content)
    assert clock.offset == 60
    bad = encode(dataclasses.replace(decode(content), parts={"clock": "noon"}, blocks=()))
    check = unchanged(here)
    with pytest.raises(BadState, match="not a number"):
        states_with(here, Clock(1)).load(bad)
    check()
    states_with(other, clock).load(here.node.states.dump())
    assert clock.offset is None, "a file without the part resets it"


# --- While the node works -----------------------------------------------------------------------------------------


def test_a_state_that_changes_while_it_is_read_is_read_again(here: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    states = here.node.states
    read = states._read
    seen: list[int] = []

    def slowly() -> State:
        state = read()
        seen.append(len(state.blocks))
        if len(seen) < 3:
            here.mine()
        return state

    monkeypatch.setattr(States, "_read", lambda _: slowly())
    assert len(decode(states.dump()).blocks) == 2
    assert seen == [0, 1, 2]


def test_a_block_that_comes_while_a_state_is_loaded_is_left_too(
    here: TestNode, other: TestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = filled(here).node.states.dump()
    add, added = other.node.states._add, []

    def and_mine(self: States, branch: Branch, block: Any) -> None:
        add(branch, block)
        added.append(block)
        if len(added) == 2:
            other.mine(recipient=MINER)

    monkeypatch.setattr(States, "_add", and_mine)
    other.node.states.load(content)
    assert other.node.chain.tip() == here.node.chain.tip()
    assert_store_equals_replay(other.node, other.redis)


# --- Files of earlier releases ------------------------------------------------------------------------------------


def test_the_first_version_loads_for_ever(here: TestNode) -> None:
    """`filled` as the release wrote it that brought version 1 (tests/unit/services/development/test_state_file.py)."""
    content = (ROOT / "tests" / "vectors" / "state-1.jsonl").read_bytes()
    here.node.states.load(content)
    tip = here.node.chain.tip()
    assert (tip.height, tip.hash) == (7, "1540782c8410919ab5f4651416f9116a3dae4cbcad31dad304416547ec9cbac0")
    assert {entry[1:3] for entry in waiting(here)} == {
        (ALICE.address, 1), (ALICE.address, 2), (CAROL.address, 0), (CAROL.address, 1), (DAVE.address, 5),
    }  # fmt: skip
    assert here.node.states.dump() == content
    assert_store_equals_replay(here.node, here.redis)
