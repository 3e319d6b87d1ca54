"""Random sequences of what a developer may do, compared with a plain model after each step."""

import random
from dataclasses import dataclass, field

import pytest
from redis import Redis

from services.audit.full import FullAudit
from services.development.going_back import CannotGoBack
from shared.block import Block
from shared.errors import NodeError
from shared.transaction import Transaction
from tests.support.development import Working
from tests.support.keys import KEYS, MINER
from tests.support.nodes import admit_one
from tests.support.specs import COIN

STEPS = 50
SENDERS = KEYS[:5]
FIRST_BALANCE = 1000 * COIN


@dataclass
class State:
    """The model: a list of blocks (hash, transactions), and what waits."""

    blocks: list[tuple[str, list[Transaction]]] = field(default_factory=list)
    waiting: dict[str, Transaction] = field(default_factory=dict)

    def copy(self) -> "State":
        return State(list(self.blocks), dict(self.waiting))

    def balances(self) -> dict[str, int]:
        found = dict.fromkeys([key.address for key in SENDERS], FIRST_BALANCE) | {MINER: 0}
        for _, items in self.blocks:
            found[MINER] += COIN + sum(item.fee for item in items)
            for item in items:
                found[item.sender] -= item.amount + item.fee
                found[item.recipient] += item.amount
        return found


class Player:
    """Does the same to a node and to the model, and compares."""

    def __init__(self, redis: Redis, seed: int) -> None:
        redis.flushall()
        self.dice = random.Random(seed)
        self.working = Working(redis)
        self.node = self.working.node
        self.state = State()
        self.snapshots: dict[int, State] = {}
        self.known: dict[str, Transaction] = {}  # all that were ever acknowledged

    def play(self) -> None:
        moves = (
            [self.send] * 8 + [self.mine] * 4 + [self.snapshot, self.revert, self.rollback, self.fork, self.wait] * 2
        )
        for _ in range(STEPS):
            move = self.dice.choice(moves)
            move()
            self.compare(move.__name__)
        self.node.going_back.reset()
        self.state = State()
        self.compare("reset")

    # --- moves ---

    def send(self) -> None:
        key = self.dice.choice(SENDERS)
        nonce = self.node.chain.account(key.address).nonce + self.dice.randrange(4)
        recipient = self.dice.choice(SENDERS).address
        amount, fee = self.dice.randrange(1, 5 * COIN), self.dice.randrange(COIN)
        item = self.working.sign(key, nonce, recipient=recipient, amount=amount, fee=fee)
        try:
            admit_one(self.node.mempool, item)
        except NodeError:
            return  # such as a replacement that pays too little
        rivals = [name for name, it in self.state.waiting.items() if (it.sender, it.nonce) == (key.address, nonce)]
        for name in rivals:
            del self.state.waiting[name]
        self.state.waiting[item.id] = self.known[item.id] = item

    def mine(self) -> None:
        self.took(self.working.mine_pool().block)

    def snapshot(self) -> None:
        self.snapshots[self.node.going_back.snapshot()] = self.state.copy()

    def revert(self) -> None:
        taken = self.dice.choice([*self.snapshots, 999])
        there = self.snapshots.get(taken)
        assert self.node.going_back.revert(taken) is (there is not None)
        if there is not None:
            self.state = there.copy()
            self.snapshots = {name: state for name, state in self.snapshots.items() if name < taken}

    def rollback(self) -> None:
        depth = self.dice.randrange(1, 4)
        if depth > len(self.state.blocks):
            with pytest.raises(CannotGoBack):
                self.node.going_back.rollback(depth)
            return
        self.node.going_back.rollback(depth)
        del self.state.blocks[-depth:]

    def fork(self) -> None:
        depth = self.dice.randrange(1, 4)
        if depth > len(self.state.blocks):
            return
        gone = {item.id: item for _, items in self.state.blocks[-depth:] for item in items}
        everything = [*gone, *self.state.waiting]
        drop = [self.dice.choice(everything)] if everything and self.dice.random() < 0.5 else []
        forked = self.node.forks.fork(depth, drop=drop)
        assert [name for name, _ in self.state.blocks[-depth:]] == list(forked.detached)
        del self.state.blocks[-depth:]
        self.state.waiting |= gone
        for name in drop:
            del self.state.waiting[name]
        for name in forked.attached:
            items = [self.known[found] for found in self.node.chain.transaction_ids(name)[1:]]
            self.state.blocks.append((name, items))
            for item in items:
                del self.state.waiting[item.id]

    def wait(self) -> None:
        self.working.clock.sleep(self.dice.randrange(1, 30))

    def took(self, block: Block) -> None:
        items = list(block.transactions[1:])
        self.state.blocks.append((block.hash, items))
        for item in items:
            del self.state.waiting[item.id]

    # --- comparing ---

    def compare(self, move: str) -> None:
        self.working.check()
        assert FullAudit(self.node.chain, self.node.rules, self.working.clock).run().findings == [], move
        hashes = [name for name, _ in self.state.blocks]
        assert self.node.chain.hashes(2, 1000) == hashes, move
        balances = self.state.balances()
        assert {name: self.node.chain.account(name).balance for name in balances} == balances, move
        waiting = {entry.id for page in self.node.pool.by_fee() for entry in page}
        # Rivals of what was mined, or came back, and what the ledger refuses may leave at any move, with a record.
        for name in set(self.state.waiting) - waiting:
            assert self.node.pool.record(name) is not None, (move, name)
            del self.state.waiting[name]
        assert waiting == set(self.state.waiting), move
        mined = {item.id for _, items in self.state.blocks for item in items}
        assert set(self.node.chain.locate_many(list(self.known))) == mined, move
        for name in self.known.keys() - mined - waiting:
            assert self.node.pool.record(name) is not None, (move, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_few_sequences(redis: Redis, seed: int) -> None:
    Player(redis, seed).play()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_sequences(redis: Redis, seed: int) -> None:
    Player(redis, seed).play()
