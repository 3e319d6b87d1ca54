"""An address that payouts have paid, as the store has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.node import Node
from tests.support.nodes import redis_of

_WAITING = "cd" * 32  # a block whose payout is planned


@contextmanager
def paid_miner(node: Node, address: str, payment: str) -> Iterator[str]:
    """As `pay`, for a while."""
    yield pay(node, address, payment)
    keys = node.payouts.keys
    redis_of(node).delete(keys.payees, keys.payee(address), keys.payouts_due, keys.payout(_WAITING))


def pay(node: Node, address: str, payment: str) -> str:
    """Let an address have been paid 2.5 coins in three payments, and wait for 1 more. Returns the last block's hash."""
    keys, redis = node.payouts.keys, redis_of(node)
    block = node.chain.tip().hash
    stored: dict[str, Any] = {"paid": 25 * 10**17, "payments": 3, "since": 1, "block": block, "transaction": payment}
    redis.zadd(keys.payees, {address: 1})
    redis.hset(keys.payee(address), mapping=stored)
    redis.zadd(keys.payouts_due, {_WAITING: 2})
    redis.hset(keys.payout(_WAITING), f"to:{address}", str(10**18))
    return block
