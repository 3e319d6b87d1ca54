"""What happens beside a reorganisation, and when its process dies between any two of its slices."""

import json
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from redis import Redis

from services.chain.reorganiser import KEEP_STAGED
from services.connections.servers import as_store, connect_for_requests
from services.errors import TipMoved
from services.launch.embedded import EmbeddedValkey
from services.store.branch import BranchStore, Swap
from services.store.chain import ChainStore
from services.store.records import Tip
from services.store.scripts import Scripts
from shared.errors import RuleError
from shared.keys import KeyPair
from shared.ledger import Entries, Touched
from shared.transaction import Transaction
from tests.network.branches import check, fork, pending, status
from tests.network.ports import Member, Network
from tests.support.keys import ALICE, BOB, CAROL, DAVE, KEYS
from tests.support.nodes import admit_one

ANNE, BEN = (KeyPair(bytes([200 + i]) * 32) for i in range(2))


class Death(BaseException):
    """The process is killed here."""


class Watched(Scripts):
    """Scripts that call `at(number)` before each run, numbered from 0."""

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


def watch(member: Member, at: Callable[[int], None]) -> Watched:
    """Have a node's reorganiser call `at` before each of its scripts."""
    branches = member.node.reorganiser._branches
    assert isinstance(branches, BranchStore)
    watched = branches._scripts = Watched(member.redis, at)
    return watched


class Scene:
    """`a` is about to leave its branch for that of `b`: transactions come back, stay, move, and lose their nonces."""

    def __init__(self, network: Network) -> None:
        self.a, self.b = fork(network)
        a, b = self.a, self.b
        self.same, self.moved = a.sign(ALICE, 0), a.sign(CAROL, 0)
        self.back = [a.sign(DAVE, nonce, amount="2") for nonce in range(2)]
        self.beaten, self.beats = a.sign(BOB, 0), b.sign(BOB, 0, amount="3")
        self.waiting = a.admit(DAVE, 2)
        a.mine(self.same, self.moved, self.back[0], recipient=ANNE.address)
        a.mine(self.back[1], self.beaten, recipient=ANNE.address)
        self.spent = a.sign(ANNE, 0)
        a.mine(self.spent, recipient=ANNE.address)
        b.mine(self.same, recipient=BEN.address)
        b.mine(self.beats, self.moved, recipient=BEN.address)
        b.grow(2, BEN.address)

    @property
    def all(self) -> list[Transaction]:
        return [self.same, self.moved, *self.back, self.beaten, self.beats, self.waiting, self.spent]

    def check(self) -> None:
        """The reorganisation is complete, as if nothing had happened to it."""
        a = self.a
        check(a)
        assert a.hashes()[: self.b.height] == self.b.hashes()
        assert {status(a, item) for item in (self.same, self.moved, self.beats)} == {"confirmed"}
        assert status(a, self.beaten) == "dropped"
        assert pending(a)[DAVE.address][:3] == [self.back[0].id, self.back[1].id, self.waiting.id]
        for item in (self.same, self.moved, self.beats, *self.back, self.waiting):
            assert a.node.pool.record(item.id) is None
        # Dropped with a reason at once, or when the next template is made.
        if status(a, self.spent) == "pending":
            a.mine_pool()
        assert status(a, self.spent) == "dropped"


def slices(network: Network) -> int:
    """How many scripts the reorganisation of a scene takes."""
    scene = Scene(network)
    watched = watch(scene.a, lambda _: None)
    assert scene.a.resolve().replaced
    scene.check()
    assert watched.names[0] == "swap"
    assert {"reindex", "requeue", "rehistory", "finish"} < set(watched.names)
    return len(watched.names)


def restart(network: Network) -> None:
    network.redis.flushall()
    network.http.asked.clear()


def test_death_between_any_two_slices(network: Network) -> None:
    for last in range(slices(network)):
        restart(network)
        scene = Scene(network)
        before = scene.a.hashes()

        def die(number: int, last: int = last) -> None:
            if number == last:
                raise Death

        watched = watch(scene.a, die)
        with pytest.raises(Death):
            scene.a.resolve()
        swapped = "swap" in watched.names
        assert (scene.a.hashes() == before) is not swapped
        for item in scene.all:
            if item is not scene.beats:  # which this node has not acknowledged
                assert status(scene.a, item) in ("confirmed", "pending", "dropped"), f"after {watched.names}"
        other = scene.a.build(scene.a.redis)  # another process
        if swapped:
            other.reorganiser.finish()
        else:
            assert other.resolver.resolve().replaced
        scene.check()


def test_a_miner_finishes_what_died(network: Network) -> None:
    for last in range(1, slices(network)):
        restart(network)
        scene = Scene(network)

        def die(number: int, last: int = last) -> None:
            if number == last:
                raise Death

        watch(scene.a, die)
        with pytest.raises(Death):
            scene.a.resolve()
        scene.a.node = scene.a.build(scene.a.redis)
        # A sender whose transactions are on their way back sends another, and a block is appended.
        late = scene.a.admit(DAVE, 3)
        scene.a.grow(1, CAROL.address)
        assert status(scene.a, late) == "pending"
        scene.check()


@pytest.mark.parametrize("more", ["finish and append", "admit", "resolve"])
def test_others_at_work_between_any_two_slices(network: Network, more: str) -> None:
    for place in range(1, slices(network)):
        restart(network)
        scene = Scene(network)
        other = scene.a.build(scene.a.redis)
        done: list[int] = []

        def meddle(number: int, place: int = place, scene: Scene = scene, other: Any = other, done: Any = done) -> None:
            if number != place or done:
                return
            done.append(number)
            if more == "admit":
                admit_one(other.mempool, scene.a.sign(KEYS[9], 0))
                admit_one(other.mempool, scene.a.sign(DAVE, 3))
            elif more == "resolve":
                other.resolver.resolve()
            else:
                other.reorganiser.finish()
                tip = other.chain.tip()
                template = other.rules.template(other.chain.window(tip), [], CAROL.address, scene.a.clock.now())
                other.acceptor.accept(other.rules.read_block(template.with_proof(0)))

        watch(scene.a, meddle)
        assert scene.a.resolve().replaced
        assert done
        scene.check()


def test_our_own_miner_does_not_hold_a_reorganisation_up(network: Network) -> None:
    """A block is appended after each block that is verified: the branch detaches those too."""
    a, b = fork(network)
    items = [a.sign(key, 0) for key in KEYS[:6]]
    a.grow(1, ANNE.address)
    b.grow(20, BEN.address)
    miner = a.build(a.redis)
    accept = a.node.reorganiser._extend

    def busy(*args: Any) -> None:
        accept(*args)
        if items:
            tip = miner.chain.tip()
            template = miner.rules.template(miner.chain.window(tip), [items.pop()], ANNE.address, a.clock.now())
            miner.acceptor.accept(miner.rules.read_block(template.with_proof(0)))

    a.node.reorganiser._extend = busy  # type: ignore[method-assign, assignment] # the miner works in between
    ids = [item.id for item in items]
    network.http.asked.clear()
    assert a.resolve().replaced
    assert a.hashes() == b.hashes()
    assert sum(path.startswith("/chain") for _, path in network.http.asked) == 1, "nothing is fetched twice"
    assert sorted(item for queue in pending(a).values() for item in queue) == sorted(ids)
    check(a)


def test_our_own_chain_becomes_better_meanwhile(network: Network) -> None:
    a, b = fork(network)
    a.grow(1, ANNE.address)
    b.grow(3, BEN.address)
    miner = a.build(a.redis)
    accept = a.node.reorganiser._extend

    def overtake(*args: Any) -> None:
        accept(*args)
        for _ in range(4):
            tip = miner.chain.tip()
            template = miner.rules.template(miner.chain.window(tip), [], ANNE.address, a.clock.now())
            miner.acceptor.accept(miner.rules.read_block(template.with_proof(0)))

    a.node.reorganiser._extend = overtake  # type: ignore[method-assign, assignment] # the miner works in between
    assert a.resolve().notes == ()
    assert a.height > b.height and a.peer(b.url).state == "ok"
    check(a)


def test_a_swap_of_a_worse_branch_is_refused(network: Network) -> None:
    a, b = fork(network)
    a.grow(2, ANNE.address)
    b.grow(1, BEN.address)
    before = a.hashes()
    branch = a.node.reorganiser.begin(2)
    a.node.reorganiser.add(branch, a.node.rules.read_block(b.node.chain.block_object(b.tip)))
    with pytest.raises(TipMoved):
        a.node.reorganiser.swap(branch)
    assert a.hashes() == before
    check(a)


def _branch(a: Member, b: Member) -> Any:
    branch = a.node.reorganiser.begin(2)
    for name in b.hashes()[2:]:
        a.node.reorganiser.add(branch, a.node.rules.read_block(b.node.chain.block_object(name)))
    return branch


def test_abandoned_blocks_are_forgotten_and_nothing_else(network: Network) -> None:
    a, b = fork(network)
    a.grow(1, ANNE.address)
    b.grow(2, BEN.address)
    keys = a.node.chain.keys
    _branch(a, b)
    assert a.redis.zcard(keys.staged) == 2
    assert a.node.reorganiser.forget_abandoned() == 0
    a.clock.time += KEEP_STAGED + 1
    assert a.node.reorganiser.forget_abandoned() == 2
    assert a.redis.zcard(keys.staged) == 0
    assert a.node.chain.header(b.tip) is None and a.node.chain.block_bytes(b.tip) is None
    check(a)


def test_a_block_of_the_chain_that_was_staged_late_is_kept(network: Network) -> None:
    """One process stages what another has just appended: it is not abandoned."""
    a, b = fork(network)
    b.grow(1, BEN.address)
    branch = a.node.reorganiser.begin(2)
    block = a.node.rules.read_block(b.node.chain.block_object(b.tip))
    a.node.acceptor.accept(block)
    known = a.node.chain.undo(block.hash)
    a.node.reorganiser._branches.stage(block, known, branch.chainwork + 1, a.clock.now())
    a.clock.time += KEEP_STAGED + 1
    assert a.node.reorganiser.forget_abandoned() == 0
    assert a.redis.zcard(a.node.chain.keys.staged) == 0
    check(a)


def test_a_block_that_was_staged_and_is_appended_is_staged_no_more(network: Network) -> None:
    """Otherwise it counts as abandoned an hour later."""
    a, b = fork(network)
    b.grow(1, BEN.address)
    branch = a.node.reorganiser.begin(2)
    block = a.node.rules.read_block(b.node.chain.block_object(b.tip))
    a.node.reorganiser.add(branch, block)
    assert a.redis.zcard(a.node.chain.keys.staged) == 1
    a.node.acceptor.accept(block)
    assert a.redis.zcard(a.node.chain.keys.staged) == 0
    check(a)


@pytest.mark.parametrize("missing", [0, 1999, 2000, 2500])
def test_any_block_of_a_long_branch_may_be_missing(network: Network, missing: int) -> None:
    """A branch is looked up in parts of 2,000. A missing block is found in each part, and nothing is written."""
    a = network.member("a")
    branches, keys = a.node.reorganiser._branches, a.node.chain.keys
    tip = a.node.chain.tip()
    names = [f"{number:064x}" for number in range(2_501)]
    new = Tip(names[-1], len(names) + 1, tip.chainwork + len(names), tip.supply, tip.timestamp)
    swap = Swap(tip, 1, [], names, new, Entries({}, {}, tip.supply))
    a.redis.zadd(keys.staged, dict.fromkeys((name for i, name in enumerate(names) if i != missing), 1.0))
    a.redis.hset(keys.headers, mapping=dict.fromkeys(names, "{}"))
    before = a.redis.dump(keys.heights), a.redis.hgetall(keys.tip)
    assert branches.swap(swap, 0) == "missing"
    assert (a.redis.dump(keys.heights), a.redis.hgetall(keys.tip)) == before
    assert a.redis.zcard(keys.staged) == len(names) - 1 and not a.redis.exists(keys.journal)
    a.redis.zadd(keys.staged, {names[missing]: 1.0})
    assert branches.swap(swap, 0) == "swapped"
    assert a.redis.llen(keys.heights) == len(names) + 1 and not a.redis.exists(keys.staged)


def test_a_branch_that_was_forgotten_before_it_was_complete(network: Network) -> None:
    a, b = fork(network)
    a.grow(1, ANNE.address)
    b.grow(2, BEN.address)
    branch = _branch(a, b)
    a.clock.time += KEEP_STAGED + 1
    a.node.reorganiser.forget_abandoned()
    before = a.hashes()
    with pytest.raises(TipMoved):
        a.node.reorganiser.swap(branch)
    assert a.hashes() == before
    assert a.resolve().replaced  # it is simply fetched again
    check(a)


def test_nothing_is_forgotten_while_a_journal_waits(network: Network) -> None:
    scene = Scene(network)

    def die(number: int) -> None:
        if number == 1:
            raise Death

    watch(scene.a, die)
    with pytest.raises(Death):
        scene.a.resolve()
    for name in [*scene.b.hashes(), *scene.a.hashes()]:
        scene.a.redis.zadd(scene.a.node.chain.keys.staged, {name: 0})
    assert scene.a.build(scene.a.redis).reorganiser.forget_abandoned() == 0
    scene.a.build(scene.a.redis).reorganiser.finish()
    scene.check()


def test_an_interrupted_branch_goes_on_where_it_was(network: Network) -> None:
    """What was verified and staged is neither fetched nor verified again."""
    a, b = fork(network)
    a.grow(1, ANNE.address)
    for nonce in range(8):
        b.mine(b.sign(ALICE, nonce), recipient=BEN.address)
    accept, count = a.node.reorganiser._extend, [0]

    def die(*args: Any) -> None:
        accept(*args)
        count[0] += 1
        if count[0] == 5:
            raise Death

    a.node.reorganiser._extend = die  # type: ignore[method-assign, assignment] # the process ends here
    with pytest.raises(Death):
        a.resolve()
    a.node = a.build(a.redis)
    network.http.asked.clear()
    assert a.resolve().replaced
    assert [path for _, path in network.http.asked if path.startswith("/chain")] == ["/chain?from=8&limit=3"]
    check(a)


def test_readers_never_see_a_half(network: Network, valkey_server: EmbeddedValkey) -> None:
    """While a chain is swapped again and again, every answer is that of one chain or the other."""
    a, b, c = network.members("a", "b", "c")
    a.grow(2, ANNE.address)
    network.copy(a, b, c)
    both = [a.sign(key, 0, amount="1") for key in KEYS[:10]]
    only_b, only_c = b.sign(KEYS[20], 0), c.sign(KEYS[21], 0)
    b.mine(*both, only_b, recipient=BEN.address)
    c.mine(*reversed(both), only_c, recipient=CAROL.address)
    addresses = [key.address for key in (ANNE, BEN, CAROL, BOB, *KEYS[:10], KEYS[20], KEYS[21])]
    touched = Touched(frozenset(addresses), frozenset())
    expected: dict[str, Any] = {}
    balances: dict[str, set[str]] = {name: set() for name in addresses}

    def note(member: Member) -> None:
        tip, entries = member.node.chain.entries(touched)
        expected[tip.hash] = dict(entries.accounts)
        for name in addresses:
            balances[name].add(member.get(f"/accounts/{name}")["balance"])

    note(a)
    stop = threading.Event()
    wrong: list[str] = []
    tips: set[str] = set()
    counts = {"reads": 0, "moved": 0}
    ids = [item.id for item in both]
    known = threading.Event()  # the transactions are on a's chain for the first time

    def read() -> None:
        with connect_for_requests(valkey_server.url) as connection:
            node = a.build(connection)
            while not stop.is_set():
                try:
                    look(node)
                except BaseException as error:
                    wrong.append(repr(error))
                    return

    def look(node: Any) -> None:
        counts["reads"] += 1
        tip, entries = node.chain.entries(touched)
        assert dict(entries.accounts) == expected[tip.hash], "balances of neither branch"
        tips.add(tip.hash)
        blocks = list(reversed(a.get("/blocks?limit=500")["blocks"]))
        for parent, child in pairwise(blocks):
            assert child["previous_hash"] == parent["hash"] and child["index"] == parent["index"] + 1
        try:
            texts = [json.loads(text) for text in node.chain.stream(1, node.chain.tip().height)]
        except TipMoved:
            counts["moved"] += 1
        else:
            headers = [node.rules.read_block(text).header for text in texts[1:]]
            for parent, child in pairwise(headers):
                assert child.previous_hash == parent.hash
        for name in addresses[:3]:
            assert a.get(f"/accounts/{name}")["balance"] in balances[name]
        if known.is_set():
            for transaction_id in ids:
                assert a.get(f"/transactions/{transaction_id}")["status"] in ("confirmed", "pending")
            for transaction_id in (only_b.id, only_c.id):
                found = a.get(f"/transactions/{transaction_id}")
                assert found["status"] in ("confirmed", "pending")

    for member in (b, c):
        note(member)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(16):
            member = (b, c)[number % 2]
            member.grow(1 + number % 3 + max(a.height - member.height, 0), (BEN, CAROL)[number % 2].address)
            note(member)
            for height in range(3, member.height + 1):  # the chain as it grows on the way
                assert member.node.chain.hash_at(height)
            assert a.resolve(member.url).replaced
            if number == 1:
                known.set()
            if wrong:
                break
    finally:
        stop.set()
        for reader in readers:
            reader.join(20)
    assert not wrong, wrong
    assert len(tips) > 3, "the readers saw too little to have met a swap"
    assert a.node.mining.counters()["reorganisations"] >= 14
    print(f"{counts['reads']} looks, {len(tips)} tips, {counts['moved']} streams cut")
    check(a)


def test_genesis_is_never_detached(network: Network) -> None:
    a, b = network.members("a", "b")
    a.grow(2, ANNE.address)
    b.grow(3, BEN.address)
    assert a.resolve().replaced
    assert a.hashes()[0] == b.hashes()[0] == a.node.rules.genesis().hash
    with pytest.raises(RuleError):
        branch = a.node.reorganiser.begin(1)
        a.node.reorganiser.add(branch, a.node.rules.genesis())
    check(a)


def test_another_thread_finishes_the_swap_while_its_blocks_are_read(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verified blocks that a process holds for its own run are let go by whoever has finished first."""
    scene = Scene(network)
    packed_ids, finishing = ChainStore.packed_ids, scene.a.node.reorganiser.finish
    others: list[list[str]] = []

    def finished_meanwhile(chain: ChainStore, hashes: list[str]) -> dict[str, bytes]:
        if scene.a.node.chain.has_journal() and not others:
            others.append(hashes)
            finishing()
        return packed_ids(chain, hashes)

    monkeypatch.setattr(ChainStore, "packed_ids", finished_meanwhile)
    assert scene.a.resolve().replaced
    assert others == [[]], "the blocks of the branch were held when it was read"
    scene.check()
