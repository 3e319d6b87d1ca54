"""The mempool against a plain model of it: after any actions in any order both hold the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.errors import PolicyError
from services.launch.embedded import EmbeddedValkey
from services.store.pool import Question
from shared.amounts import format_amount
from shared.errors import RuleError
from shared.transaction import Transaction
from tests.support.keys import DAVE, KEYS
from tests.support.nodes import TestNode, admit_one, make_settings
from tests.support.servers import connect
from tests.support.specs import make_spec
from tests.support.stored import texts

SENDERS = KEYS[8:11]
BALANCE = 60  # base units, each
CAP, AHEAD, MIN_FEE, EXPIRY, PER_BLOCK = 6, 5, 1, 100, 4


@dataclass
class Item:
    """One waiting transaction."""

    transaction: Transaction
    arrival: int
    admitted_at: float
    replacements: int

    @property
    def cost(self) -> int:
        return self.transaction.fee + self.transaction.amount


class Model:
    """What docs/mempool.md says, with lists and dictionaries. All payments leave the senders for good."""

    def __init__(self) -> None:
        self.balance = {key.address: BALANCE for key in SENDERS}
        self.nonce = {key.address: 0 for key in SENDERS}
        self.waiting: dict[tuple[str, int], Item] = {}
        self.records: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        self.mined: list[str] = []
        self.arrivals = 0

    def queue(self, sender: str) -> list[Item]:
        return [self.waiting[key] for key in sorted(self.waiting) if key[0] == sender]

    def next_nonce(self, sender: str) -> int:
        nonce = self.nonce[sender]
        while (sender, nonce) in self.waiting:
            nonce += 1
        return nonce

    def in_order(self) -> list[Item]:
        return sorted(self.waiting.values(), key=lambda item: (-item.transaction.fee, item.arrival))

    def ends(self) -> list[Item]:
        """Each queue's last, in order."""
        last = [self.queue(key.address)[-1] for key in SENDERS if self.queue(key.address)]
        return sorted(last, key=lambda item: (-item.transaction.fee, item.arrival))

    def admit(self, new: Transaction, now: float) -> str:
        """ "ok", or the code of the refusal."""
        place = (new.sender, new.nonce)
        old = self.waiting.get(place)
        if new.nonce < self.nonce[new.sender]:
            return "nonce_too_low"
        if old is not None and old.transaction.id == new.id:
            return "ok"
        if new.fee < MIN_FEE:
            return "fee_too_low"
        if new.nonce > self.nonce[new.sender] + AHEAD:
            return "nonce_too_far"
        if old is not None and not _outbids(new.fee, old.transaction.fee):
            return "replacement_underpriced"
        if old is not None and old.replacements == 10:
            return "too_many_replacements"
        others = sum(item.cost for item in self.queue(new.sender) if item is not old)
        if others + new.fee + new.amount > self.balance[new.sender]:
            return "insufficient_funds"
        if old is None and len(self.waiting) >= CAP:
            victim = self.ends()[-1].transaction
            own, gapped = victim.sender == new.sender, new.nonce > self.next_nonce(new.sender)
            if own or gapped or not _outbids(new.fee, victim.fee):
                return "mempool_full"
            self.leave(victim, "evicted")
        if old is not None:
            self.leave(old.transaction, "replaced")
        self.waiting[place] = Item(new, self.arrivals, now, old.replacements + 1 if old else 0)
        self.arrivals += 1
        self.records.pop(new.id, None)
        self.acknowledged.add(new.id)
        return "ok"

    def leave(self, transaction: Transaction, status: str) -> None:
        del self.waiting[transaction.sender, transaction.nonce]
        self.records[transaction.id] = status

    def template(self) -> tuple[list[Transaction], list[Transaction]]:
        """What the next block holds, and what can never be in one."""
        nonce, balance = dict(self.nonce), dict(self.balance)
        chosen: list[Transaction] = []
        failed: list[Transaction] = []
        early: dict[tuple[str, int], Item] = {}
        for item in self.in_order():
            ready: Item | None = item
            sender = item.transaction.sender
            if item.transaction.nonce > nonce[sender]:
                early[sender, item.transaction.nonce] = item
                continue
            while ready is not None:
                if len(chosen) == PER_BLOCK - 1:
                    return chosen, failed
                if ready.cost > balance[sender]:
                    failed.append(ready.transaction)
                    break
                chosen.append(ready.transaction)
                balance[sender] -= ready.cost
                nonce[sender] += 1
                ready = early.pop((sender, nonce[sender]), None)
        return chosen, failed

    def mine(self, transactions: Iterable[Transaction]) -> None:
        for item in transactions:
            self.balance[item.sender] -= item.amount + item.fee
            self.nonce[item.sender] += 1
            waiting = self.waiting.pop((item.sender, item.nonce), None)
            if waiting is not None and waiting.transaction.id != item.id:
                self.records[waiting.transaction.id] = "dropped"
            self.mined.append(item.id)


def _outbids(new: int, old: int) -> bool:
    return new > old and 10 * new >= 11 * old


class Machine(RuleBasedStateMachine):
    """Applies the same actions to both, and compares them."""

    valkey: EmbeddedValkey
    met: Counter[str]  # what happened, over all runs

    def __init__(self) -> None:
        super().__init__()
        allocations = {key.address: format_amount(BALANCE) for key in SENDERS}
        spec = make_spec(allocations=allocations, max_block_transactions=PER_BLOCK)
        policy = {"max_mempool": CAP, "nonces_ahead": AHEAD, "min_fee": MIN_FEE, "expiry_seconds": EXPIRY}
        self.here = TestNode(connect(self.valkey), make_settings(spec, **policy))
        self.model = Model()

    # Amounts and fees are small numbers, so that ties, underpriced offers and empty accounts are common.
    @rule(
        sender=st.sampled_from(SENDERS),
        ahead=st.integers(-1, AHEAD + 1),
        fee=st.integers(0, 30),
        amount=st.integers(0, 12),
    )
    def admit(self, sender, ahead, fee, amount):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        nonce = max(0, self.model.nonce[sender.address] + ahead)
        self._send(self.here.sign(sender, nonce, fee=fee, amount=amount, recipient=DAVE.address))

    @rule(offers=st.lists(st.tuples(st.sampled_from(SENDERS), st.integers(1, 20)), min_size=1, max_size=6))
    def admit_in_turn(self, offers):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        """Several that continue their queues: more than the pool can hold."""
        for sender, fee in offers:
            nonce = self.model.next_nonce(sender.address)
            self._send(self.here.sign(sender, nonce, fee=fee, amount=1, recipient=DAVE.address))

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), change=st.integers(-1, 4))
    def replace(self, data, change):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        """A replacement, around the least fee that is enough; or, for 0 at fee 0, the same again."""
        old = data.draw(st.sampled_from(self.model.in_order())).transaction
        key = next(key for key in SENDERS if key.address == old.sender)
        fee = max(0, -(-11 * old.fee // 10) + change)
        self._send(self.here.sign(key, old.nonce, fee=fee, amount=old.amount, recipient=DAVE.address))

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def resend(self, data):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        old = data.draw(st.sampled_from(self.model.in_order())).transaction
        assert not admit_one(self.here.node.mempool, old).new

    def _send(self, transaction: Transaction) -> None:
        before = len(self.model.records)
        expected = self.model.admit(transaction, self.here.clock.now())
        self.met[expected if len(self.model.records) == before else "put another out"] += 1
        try:
            outcome = admit_one(self.here.node.mempool, transaction)
        except RuleError as error:
            assert error.code == expected
        except PolicyError as error:
            assert error.code == expected
        else:
            assert (expected, outcome.id) == ("ok", transaction.id)

    @rule()
    def mine(self) -> None:
        """A block from the mempool's own template."""
        chosen, failed = self.model.template()
        block = self.here.mine_pool().block
        assert [item.id for item in block.transactions[1:]] == [item.id for item in chosen]
        for transaction in failed:
            self.model.leave(transaction, "dropped")
        self.met["template refused one"] += len(failed)
        self.met["template had no place"] += len(chosen) == PER_BLOCK - 1 and len(self.model.waiting) > len(chosen)
        self.model.mine(chosen)

    @rule(sender=st.sampled_from(SENDERS), count=st.integers(1, 2), amount=st.integers(0, 40))
    def mine_elsewhere(self, sender, count, amount):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        """A peer's block spends from a sender past our mempool, and may leave its queue without cover."""
        amount = min(amount, self.model.balance[sender.address] // count)
        nonce = self.model.nonce[sender.address]
        theirs = [
            self.here.sign(sender, nonce + i, amount=amount, recipient=KEYS[20].address, data="theirs")
            for i in range(count)
        ]
        self.here.mine(*theirs)
        self.model.mine(theirs)

    @rule(seconds=st.integers(1, EXPIRY))
    def wait(self, seconds: int) -> None:
        self.here.clock.time += seconds

    @rule()
    def expire(self) -> None:
        now = self.here.clock.now()
        old = [item for item in self.model.waiting.values() if item.admitted_at <= now - EXPIRY]
        assert self.here.node.mempool.expire() == len(old)
        for item in old:
            self.model.leave(item.transaction, "expired")

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data())
    def drop(self, data):  # type: ignore[no-untyped-def] # Hypothesis gives the arguments
        transaction = data.draw(st.sampled_from(self.model.in_order())).transaction
        assert self.here.node.pool.drop([transaction.id], "dropped", "by hand", self.here.clock.now()) == 1
        assert self.here.node.pool.drop([transaction.id], "dropped", "again", self.here.clock.now()) == 0
        self.model.leave(transaction, "dropped")

    # --- what must be true at any time ---

    @invariant()
    def order_and_ends(self) -> None:
        redis, keys = self.here.redis, self.here.node.pool.keys
        order = [member[-64:] for member in texts(redis.zrange(keys.order, 0, -1))]
        assert order == [item.transaction.id for item in self.model.in_order()]
        ends = [member[-64:] for member in texts(redis.zrange(keys.ends, 0, -1))]
        assert ends == [item.transaction.id for item in self.model.ends()]
        assert [entry.id for page in self.here.node.pool.by_fee(3) for entry in page] == order
        expiry: Any = redis.zrange(keys.expiry, 0, -1, withscores=True)
        assert {name.decode(): when for name, when in expiry} == {
            item.transaction.id: item.admitted_at for item in self.model.waiting.values()
        }

    @invariant()
    def queues(self) -> None:
        pool = self.here.node.pool
        for sender in self.model.nonce:
            queue = self.model.queue(sender)
            assert [entry.id for entry in pool.queue(sender)] == [item.transaction.id for item in queue]
            assert [entry.replacements for entry in pool.queue(sender)] == [item.replacements for item in queue]
            assert pool.next_nonce(sender) == (self.model.next_nonce(sender) if queue else None)
            (view,) = pool.view([Question(sender, [])])
            assert view.next_nonce == self.model.next_nonce(sender)
            assert view.total in (None, sum(item.cost for item in queue))
            assert tuple(view.account) == (self.model.balance[sender], self.model.nonce[sender])

    @invariant()
    def totals_and_caps(self) -> None:
        size, used = self.here.node.pool.totals()
        assert size == len(self.model.waiting) <= CAP
        entries = self.here.redis.hvals(self.here.node.pool.keys.entries)
        assert (len(entries), sum(map(len, entries))) == (size, used)
        for sender, nonce in self.model.waiting:
            assert self.model.nonce[sender] <= nonce <= self.model.nonce[sender] + AHEAD

    @invariant()
    def nothing_is_lost(self) -> None:
        redis, keys = self.here.redis, self.here.node.pool.keys
        records = set(texts(redis.hkeys(keys.records)))
        assert records == set(self.model.records)
        assert records == set(texts(redis.zrange(keys.record_times, 0, -1)))
        for name, status in self.model.records.items():
            record = self.here.node.pool.record(name)
            assert record is not None and record["status"] == status and record["reason"]
        waiting = {item.transaction.id for item in self.model.waiting.values()}
        for name in self.model.acknowledged - waiting - records:
            assert name in self.model.mined and self.here.node.chain.locate(name) is not None


def test_the_mempool_is_what_the_model_says(valkey: EmbeddedValkey) -> None:
    met: Counter[str] = Counter()
    machine = type("BoundMachine", (Machine,), {"valkey": valkey, "met": met})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            # Against a real server, shrinking takes minutes: the time limit would come first, and hide the example.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(met)
    # The most common events: without them the mempool was idle.
    assert all(met[name] for name in ("ok", "put another out", "insufficient_funds", "mempool_full"))
