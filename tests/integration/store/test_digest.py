"""The digest: after any sequence of appends and reorganisations it is that of the replayed state."""

import json
from random import Random

import pytest

from lab.simulated.memory import MemoryRedis
from services.audit.full import FullAudit
from services.audit.quick import QuickAudit
from services.node import Node, build_node
from services.store.digest import Digest, account_term, allowance_term, header_term, ledger_sum, read_digest, sum_of
from services.store.records import encode_header
from shared.block import Block
from shared.errors import RuleError
from shared.ledger import Account, Change, Entries
from shared.replay import Replay
from shared.transaction import read_transaction, sign
from tests.support.clocks import START, FakeClock
from tests.support.keys import KEYS, MINER
from tests.support.nodes import make_settings
from tests.support.queues import RecordingQueue

TRADERS = KEYS[:5]


class Tree:
    """A node in memory, and all blocks that were made for it."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.redis = MemoryRedis()
        self.node = self.build()
        self.node.begin()
        self.blocks: dict[str, Block] = {}
        self.reorganisations = 0

    def build(self) -> Node:
        return build_node(make_settings(), store=self.redis, queue=RecordingQueue(), clock=FakeClock())  # type: ignore[arg-type]

    def replay(self, height: int) -> Replay:
        """The node's chain up to a height."""
        replay = Replay(self.node.rules)
        for text in self.node.chain.stream(1, height):
            replay.add(json.loads(text))
        return replay

    def next(self, replay: Replay) -> Block:
        """A random valid block after a replay."""
        chosen, trial = [], self.node.rules.trial()
        for _ in range(self.random.randrange(4)):
            transaction = self._transaction(replay, chosen)
            trial.learn(Entries(replay.accounts, replay.allowances))
            try:
                trial.apply(transaction)
            except RuleError:
                continue
            chosen.append(transaction)
        miner = self.random.choice([MINER, *(key.address for key in TRADERS)])
        template = self.node.rules.template(replay.window, chosen, miner, START)
        block = self.node.rules.read_block(template.with_proof(self.random.randrange(10**6)))
        replay.add(json.loads(block.canonical))
        return block

    def _transaction(self, replay: Replay, before: list[object]) -> object:
        key, other, third = self.random.sample(TRADERS, 3)
        used = sum(getattr(item, "sender", "") == key.address for item in before)
        fields = {
            "chain_id": self.node.settings.spec.chain_id, "sender": key.address, "fee": "0",
            "nonce": replay.accounts.get(key.address, Account()).nonce + used,
            "recipient": other.address, "amount": str(self.random.choice([0, 1, 5, 1000])),
        }  # fmt: skip
        kind = self.random.choice(["transfer", "approve", "transfer_from"])
        owner = {"owner": third.address} if kind == "transfer_from" else {}
        return read_transaction(sign({**fields, "type": kind, **owner}, key))

    def append(self) -> None:
        self.node.acceptor.accept(self.next(self.replay(self.node.chain.tip().height)))

    def reorganise(self) -> None:
        """Adopt a branch that leaves the chain some blocks back and is longer."""
        height = self.node.chain.tip().height
        fork = max(1, height - self.random.randrange(1, 6))
        replay = self.replay(fork)
        branch = self.node.reorganiser.begin(fork)
        for _ in range(height - fork + self.random.randrange(1, 3)):
            block = self.next(replay)
            self.node.reorganiser.add(branch, block)
        self.node.reorganiser.swap(branch)
        self.reorganisations += 1

    def expected(self) -> Digest:
        """The digest that a replay gives, computed term by term."""
        tip = self.node.chain.tip()
        replay, headers = Replay(self.node.rules), []
        for text in self.node.chain.stream(1, tip.height):
            block = replay.add(json.loads(text))
            headers.append(
                header_term(block.index, block.hash.encode(), encode_header(block, replay.chainwork).encode())
            )
        return Digest(tip.hash, ledger_sum(Entries(replay.accounts, replay.allowances)), sum_of(headers))


@pytest.mark.parametrize("seed", range(6))
def test_after_any_sequence_the_stored_digest_is_that_of_the_replay_and_of_the_stored_entries(seed: int) -> None:
    tree = Tree(seed)
    for _ in range(18):
        (tree.reorganise if tree.random.random() < 0.3 else tree.append)()
        tip = tree.node.chain.tip()
        stored = read_digest(tip.digest, tip.hash)
        assert stored == tree.expected()
        copy = tree.node.chain.stored.ledger()
        terms = [account_term(*item) for item in copy.accounts.items()]
        terms += [allowance_term(*item) for item in copy.allowances.items()]
        assert stored is not None and stored.ledger == sum_of(terms)
    assert tree.reorganisations > 2
    node = tree.node
    assert QuickAudit(node.chain, node.rules, node.randomness).run().findings == ()
    assert FullAudit(node.chain, node.rules, node.clock).certain().findings == []


def test_a_falsified_entry_stays_visible_through_appends_and_reorganisations() -> None:
    """Also if the entry is written over: the digest subtracts what was read, not what should have been there."""
    tree = Tree(1)
    tree.append()
    keys = tree.node.chain.keys
    tree.redis.hset(keys.accounts, TRADERS[0].address, "7000000000000000000000:0")
    for _ in range(12):
        try:
            (tree.reorganise if tree.random.random() < 0.3 else tree.append)()
        except RuleError:  # what the falsified ledger does not take
            continue
        findings = QuickAudit(tree.node.chain, tree.node.rules, tree.node.randomness).run().findings
        assert any(finding.kind == "digest" for finding in findings)


def test_the_chain_may_grow_and_be_reorganised_while_it_is_checked() -> None:
    """Between any two commands of a check, without a false alarm."""
    tree = Tree(5)
    for _ in range(8):
        tree.append()
    other = tree.build()
    real = other.chain._redis
    grown = 0

    class Meanwhile:
        """The store of a check, beside which the chain changes at every other command."""

        def __getattr__(self, name: str) -> object:
            nonlocal grown
            if (
                name in ("hmget", "lrange", "pipeline", "hgetall", "hscan")
                and tree.random.random() < 0.15
                and grown < 60
            ):
                grown += 1
                (tree.reorganise if tree.random.random() < 0.3 else tree.append)()
            return getattr(real, name)

    other.chain._redis = other.chain.stored._redis = Meanwhile()  # type: ignore[assignment]
    for _ in range(8):
        other.watchman.sample()
        assert other.watchman.now() is None
        assert FullAudit(other.chain, other.rules, other.clock).certain().findings == []
    assert grown > 20 and tree.reorganisations > 3
    assert tree.node.faults.read() is None


def test_terms_of_different_entries_differ() -> None:
    texts = {
        account_term(b"a", b"1:0"), account_term(b"a", b"1:1"), account_term(b"b", b"1:0"),
        allowance_term(b"a", b"1:0"),
        header_term(1, b"a", b"x"), header_term(2, b"a", b"x"), header_term(1, b"b", b"x"),
    }  # fmt: skip
    assert len(texts) == 7


def test_what_a_change_undoes_leaves_the_digest_as_it_was() -> None:
    before = Entries({"a": Account(5, 1), "b": Account()}, {("a", "b"): 3})
    after = Entries({"a": Account(2, 2), "b": Account(3, 0)}, {("a", "b"): 0})
    digest = Digest("tip", 123)
    there = digest.with_change(Change(after=after, before=before))
    assert there != digest and there.with_change(Change(after=before, before=after)) == digest
    assert digest.with_headers([5, 2**256 - 1]).with_headers([], [2**256 - 1, 5]) == digest


@pytest.mark.parametrize(
    "text", ["", "x", "tip:1:2", "tip:zz:00:0", "other:" + "0" * 64 + ":" + "0" * 64 + ":0", "tip:0:0:0", "tip:-1:0:0"]
)
def test_what_is_no_digest_of_the_tip_is_none(text: str) -> None:
    assert read_digest(text, "tip") is None
    assert read_digest(str(Digest("tip", 5, 6, 7)), "tip") == Digest("tip", 5, 6, 7)
