"""Payouts in Redis. What they mean is in services/payouts.py."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.store.base import NodeStore


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
class Plans:
    """All plans of one moment."""

    revision: str  # a plan is written only if none was since
    nonces: Mapping[str, frozenset[int]]  # by block; blocks without a plan are missing


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

    def write(self, block: str, revision: str, depth: int, payments: Sequence[Payment], *, first: bool) -> bool:
        """Write the plan of a block, or another in place of it, if no plan was written since `revision` was read.

        Args:
            depth: in blocks. Nothing is written unless the block lies so deep on the chain.
            first: whether the block has no plan yet.
        """
        transactions = json.dumps([[item.id, item.nonce, item.fields] for item in payments])
        nonces = json.dumps([item.nonce for item in payments])
        args = [block, revision, depth, transactions, nonces, int(first)]
        return bool(self._scripts.run("plan_payout", [self.keys.prefix], args))

    def note_lost(self, block: str, lost: Lost) -> None:
        """Note that transactions of a plan cannot be mined any more, unless the chain is reorganised."""
        text = json.dumps([lost.height, lost.block, sorted(lost.ids)])
        self._redis.hset(self.keys.payout(block), "lost", text)

    def end(self, block: str, depth: int, outcome: Literal["paid", "nothing", "detached"]) -> bool:
        """Forget a block, if it lies so deep, and on the chain unless it is detached."""
        return bool(self._scripts.run("end_payout", [self.keys.prefix], [block, depth, outcome]))
