"""Dropping transactions from the mempool. Each leaves the record `dropped`, so that its sender can see why."""

from collections.abc import Sequence
from typing import Any

from api.rpc.errors import invalid_params
from api.rpc.method_table import control_method
from api.rpc.quantity import read_address, read_data
from services.node import Node

_REASON = "dropped on demand"
# Transactions that one run of the script drops.
_SLICE = 500


def _drop(node: Node, ids: Sequence[str], reason: str = _REASON) -> int:
    """Drop transactions; how many of them were waiting. A round that is open gets a template without them."""
    dropped = sum(node.mempool.take_out(ids[start : start + _SLICE], reason) for start in range(0, len(ids), _SLICE))
    if dropped:
        node.rounds.renew()
    return dropped


@control_method("anvil_dropTransaction", 1)
def drop(node: Node, value: Any) -> str | None:
    """The hash, or null if no such transaction waits."""
    identifier = read_data(value, "hash", 32).hex()
    return f"0x{identifier}" if _drop(node, [identifier]) else None


@control_method("hardhat_dropTransaction", 1)
def drop_as_hardhat_does(node: Node, value: Any) -> bool:
    """Whether the transaction waited."""
    identifier = read_data(value, "hash", 32).hex()
    if _drop(node, [identifier]):
        return True
    if node.chain.locate(identifier) is not None:
        raise invalid_params(f"Transaction 0x{identifier} cannot be dropped because it's already mined")
    return False


@control_method("anvil_removePoolTransactions", 1)
def remove(node: Node, address: Any) -> None:
    """Drop all transactions of one sender."""
    [queue] = node.pool.queues([read_address(address)], node.settings.max_mempool)
    _drop(node, [identifier for _, identifier in reversed(queue)])


@control_method("anvil_dropAllTransactions")
@control_method("hardhat_dropAllTransactions")
def drop_all(node: Node) -> None:
    """Drop what waits now. What arrives meanwhile may stay."""
    _drop(node, [entry.id for page in node.pool.by_fee() for entry in page])
