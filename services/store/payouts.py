"""Payouts in Redis. What they mean is in services/payouts/sharing.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from services.store.base import NodeStore
from shared.amounts import parse_amount

# "nothing": nobody is to be paid. "forgotten": what is to be paid cannot be known any more.
Outcome = Literal["paid", "nothing", "detached", "forgotten"]
# Plans that are looked at for what an address will be paid: those of the lowest blocks.
MOST_PLANS = 200
# How the fields of `Remains.payments` begin; the recipient follows.
MADE: Final = "made:"
_ATTEMPTS = 20
# The data of a payment: this, and the hash of the block that it pays for.
PAYMENT_DATA: Final = "quarry payout "
# What is stored of an address that was paid (`services.store.mining_keys`).
PAYEE_FIELDS: Final = ("paid", "payments", "since", "block", "transaction")


@dataclass(frozen=True, slots=True)
class Payment:
    """One signed transaction of a payout."""

    id: str
    nonce: int
    fields: dict[str, Any]  # its JSON object


@dataclass(frozen=True, slots=True)
class Lost:
    """Transactions whose nonces others of the same sender had used, in or before this block."""

    height: int
    block: str
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The transactions that pay for a block."""

    payments: tuple[Payment, ...]
    lost: Lost | None


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a block."""

    recipient: str
    amount: str  # coins, as in the transaction


@dataclass(frozen=True, slots=True)
class Remains:
    """What is kept of pruned bodies, because the payout of a block needs it (services/store/pruning.py)."""

    reward: Reward | None  # None: the block's own body is there, or a release without remains has pruned it
    payments: Mapping[str, dict[str, Any]]  # by recipient, the transactions on the chain that pay for the block


@dataclass(frozen=True, slots=True)
class Plans:
    """All plans of one moment."""

    revision: str  # a plan is written only if none was since
    nonces: Mapping[str, frozenset[int]]  # by block; blocks without a plan are missing


@dataclass(frozen=True, slots=True)
class Payee:
    """What payouts have paid, and will pay, to one address. Amounts are base units."""

    address: str
    planned: int = 0  # in plans that are not over: not sent, not mined, or not deep enough
    paid: int = 0  # by payouts that are over; all of them are on the chain
    payments: int = 0  # transactions
    since: int | None = None  # height of the first block that it was paid for; None: it was not paid yet
    block: str | None = None  # hash of the last block that it was paid for
    transaction: str | None = None  # id of the last payment


@dataclass(frozen=True, slots=True)
class Totals:
    """How many payouts ended how, and how many wait."""

    waiting: int
    paid: int
    nothing: int  # nobody was to be paid
    detached: int
    forgotten: int  # because too many waited, or their bodies are gone


class PayoutStore(NodeStore):
    """The payouts of one node."""

    def begin(self, window: int) -> None:
        """Keep a window of shares from now on.

        Args:
            window: its length in hashes, as a multiple of a block's difficulty.
        """
        self._redis.hset(self.keys.payouts, "window", str(window))

    def forget_shares(self) -> None:
        """Keep no window, and forget the one that was kept."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hdel(self.keys.payouts, "window", "total")
        pipeline.delete(self.keys.share_log, self.keys.share_window)
        pipeline.execute()

    def restored(self) -> int:
        """Height of the tip of the backup from which blocks that wait were restored; 0: none was."""
        return int(self._redis.hget(self.keys.payouts, "restored") or 0)

    def due(self, height: int) -> list[tuple[int, str]]:
        """Height and hash of the blocks up to a height that wait for their payout, the lowest first."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.payouts_due, 0, -1, withscores=True)
        return [(int(at), block.decode()) for block, at in pipeline.execute()[0] if at <= height]

    def shares(self, block: str) -> list[tuple[str, int]]:
        """Addresses ("": none) and hashes: the window of shares of a block."""
        found = self._redis.hgetall(self.keys.payout_shares(block)).items()
        return [("" if payee == b"-" else payee.decode(), int(credit)) for payee, credit in found]

    def plans(self, blocks: Sequence[str]) -> Plans:
        """The plans of those of `blocks` that have one."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(self.keys.payouts, "revision")
        for block in blocks:
            pipeline.hget(self.keys.payout(block), "nonces")
        revision, *found = pipeline.execute()
        nonces = {block: frozenset(json.loads(text)) for block, text in zip(blocks, found, strict=True) if text}
        return Plans((revision or b"0").decode(), nonces)

    def plan(self, block: str) -> Plan | None:
        """The plan of a block; None if it has none."""
        transactions, lost = self._redis.hmget(self.keys.payout(block), ["transactions", "lost"])
        if transactions is None:
            return None
        payments = tuple(Payment(*item) for item in json.loads(transactions))
        if lost is None:
            return Plan(payments, None)
        height, at, ids = json.loads(lost)
        return Plan(payments, Lost(height, at, frozenset(ids)))

    def remains(self, block: str) -> Remains:
        """What is kept of pruned bodies for the payout of a block."""
        found = {name.decode(): text for name, text in self._redis.hgetall(self.keys.payout(block)).items()}
        payments = {name.removeprefix(MADE): json.loads(text) for name, text in found.items() if name.startswith(MADE)}
        return Remains(decode_reward(found.get("reward")), payments)

    def rewards(self, blocks: Sequence[str]) -> list[Reward | None]:
        """Of each block, the reward in its remains."""
        pipeline = self._redis.pipeline(transaction=False)
        for block in blocks:
            pipeline.hget(self.keys.payout(block), "reward")
        return [decode_reward(text) for text in pipeline.execute()] if blocks else []

    def write(self, block: str, revision: str, depth: int, payments: Sequence[Payment], *, first: bool) -> bool:
        """Write the plan of a block, or another in place of it, if no plan was written since `revision` was read.

        Args:
            depth: in blocks. Nothing is written unless the block lies so deep on the chain.
            first: whether the block has no plan yet.
        """
        transactions, nonces = encode_payments(payments)
        parts = [part for payee, amount in amounts_of(payments).items() for part in (payee, amount)]
        args = [block, revision, depth, transactions, nonces, int(first), *parts]
        return bool(self._scripts.run("plan_payout", [self.keys.prefix], args))

    def note_lost(self, block: str, lost: Lost) -> None:
        """Note that transactions of a plan cannot be mined any more, unless the chain is reorganised."""
        self._redis.hset(self.keys.payout(block), "lost", encode_lost(lost))

    def end(self, block: str, depth: int, outcome: Outcome) -> bool:
        """Forget a block, if it lies so deep, and on the chain unless it is detached. If it is paid, what its plan has
        paid is added to the sums of the addresses, in the same script.
        """
        for _ in range(_ATTEMPTS):
            plan = self.plan(block) if outcome == "paid" else None
            count, parts = self._sums(() if plan is None else plan.payments)
            ended = self._scripts.run("end_payout", [self.keys.prefix], [block, depth, outcome, count, *parts])
            if ended >= 0:
                return bool(ended)
        return False  # other payouts were paid each time; the next run goes on

    def _sums(self, payments: Sequence[Payment]) -> tuple[str, list[str | int]]:
        """How many payouts have been paid; and for each payee of a plan: address, sum after it, id of the payment."""
        amounts = amounts_of(payments)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hget(self.keys.payouts, "paid")
        for address in amounts:
            pipeline.hget(self.keys.payee(address), "paid")
        count, *before = pipeline.execute()
        names = {str(item.fields["recipient"]): item.id for item in payments}
        parts: list[str | int] = []
        for (address, amount), paid in zip(amounts.items(), before, strict=True):
            parts += [address, str(int(paid or 0) + int(amount)), names[address]]
        return (count or b"0").decode(), parts

    # --- what was paid ---

    def totals(self) -> Totals:
        """How many payouts ended how."""
        names = ("paid", "nothing", "detached", "forgotten")
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zcard(self.keys.payouts_due)
        pipeline.hmget(self.keys.payouts, list(names))
        waiting, found = pipeline.execute()
        return Totals(waiting, *(int(value or 0) for value in found))

    def paid_last(self, most: int) -> list[str]:
        """The addresses that were paid for the highest blocks, the highest first."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zrange(self.keys.payees, 0, most - 1, desc=True)
        return [address.decode() for address in pipeline.execute()[0]]

    def payees(self, addresses: Sequence[str]) -> dict[str, Payee]:
        """What each of some addresses has been paid. Of the plans, the MOST_PLANS lowest blocks are looked at."""
        if not addresses:
            return {}
        due = self._redis.zrange(self.keys.payouts_due, 0, MOST_PLANS - 1)
        pipeline = self._redis.pipeline(transaction=False)
        for address in addresses:
            pipeline.hmget(self.keys.payee(address), list(PAYEE_FIELDS))
        for block in due:
            pipeline.hmget(self.keys.payout(block.decode()), [f"to:{address}" for address in addresses])
        found = pipeline.execute()
        sums, plans = found[: len(addresses)], found[len(addresses) :]
        return {
            address: _payee(address, sum(int(plan[place] or 0) for plan in plans), sums[place])
            for place, address in enumerate(addresses)
        }


def amounts_of(payments: Sequence[Payment]) -> dict[str, str]:
    """Base units, as a decimal text, for each recipient of a plan."""
    return {str(item.fields["recipient"]): str(parse_amount(item.fields["amount"])) for item in payments}


def encode_reward(reward: Reward) -> str:
    """The field `reward` of a payout."""
    return f"{reward.recipient} {reward.amount}"


def decode_reward(text: bytes | None) -> Reward | None:
    """The reward of the field `reward`."""
    return None if text is None else Reward(*text.decode().split(" "))


def _payee(address: str, planned: int, stored: Sequence[bytes | None]) -> Payee:
    paid, payments, since, block, transaction = (None if value is None else value.decode() for value in stored)
    if paid is None:
        return Payee(address, planned)
    return Payee(address, planned, int(paid), int(payments or 0), int(since or 0), block, transaction)


def encode_payments(payments: Sequence[Payment]) -> tuple[str, str]:
    """The fields `transactions` and `nonces` of a plan."""
    transactions = json.dumps([[item.id, item.nonce, item.fields] for item in payments])
    return transactions, json.dumps([item.nonce for item in payments])


def encode_lost(lost: Lost) -> str:
    """The field `lost` of a plan."""
    return json.dumps([lost.height, lost.block, sorted(lost.ids)])
