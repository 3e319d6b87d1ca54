"""Methods about the mempool, with the names and shapes of geth: `txpool_content` and others.

A transaction is pending if its account's nonce, or pending transactions before it, lead up to its nonce. Otherwise it
is queued: it waits for those that are missing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from api.rpc.errors import REFUSED, RpcError
from api.rpc.method_table import method
from api.rpc.quantity import quantity, read_address
from api.rpc.representations import represent_pending
from api.serving.budget import reserve
from services.node import Node
from services.store.pool import PoolStore
from services.token.receipts import call_data_of, gas_of, raw_of
from shared.chain_spec import ChainSpec
from shared.ledger import Touched
from shared.transaction import Transaction

# The most transactions that one answer shows. Memory that each takes while the answer is made: so many bytes, and a
# multiple of its own (measured: tests/integration/http/test_large_answers.py).
_MOST = 4_000
_BYTES, _PER_BYTE = 4_000, 4
# Counting reads the whole mempool. Where that takes long, the same counts are given for this many times as long.
_REST = 20
_QUICK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many transactions are pending and queued, and when that was so."""

    pending: int
    queued: int
    state: tuple[str, int, int]  # tip, and the mempool's transactions and bytes, when they were counted
    fresh_until: float  # Unix seconds; until then they are given although the state has changed


_counts: WeakKeyDictionary[PoolStore, _Counts] = WeakKeyDictionary()
_counting = Lock()


@method("txpool_status")
def status(node: Node) -> dict[str, str]:
    with _counting:  # one at a time: the others are answered by its result
        found = _counts.get(node.pool)
        state, now = (node.chain.tip().hash, *node.pool.totals()), node.clock.now()
        if found is None or (found.state != state and not 0 <= found.fresh_until - now < 60):
            pending, queued = _split(node, _everything(node))
            took = node.clock.now() - now
            fresh_until = now + _REST * took if took > _QUICK_SECONDS else 0.0
            found = _Counts(sum(map(len, pending.values())), sum(map(len, queued.values())), state, fresh_until)
            _counts[node.pool] = found
    return {"pending": quantity(found.pending), "queued": quantity(found.queued)}


@method("txpool_content")
def content(node: Node) -> dict[str, Any]:
    return _shown(node, represent_pending)


@method("txpool_inspect")
def inspect(node: Node) -> dict[str, Any]:
    return _shown(node, _summary)


@method("txpool_contentFrom", 1)
def content_from(node: Node, address: Any) -> dict[str, Any]:
    sender = read_address(address)
    entries = node.pool.queue(sender)
    reserve(_BYTES * len(entries) + _PER_BYTE * sum(len(entry.text) for entry in entries))
    pending, queued = _split(node, (node.rules.recall(entry.fields(), entry.id, entry.nonce) for entry in entries))
    spec = node.settings.spec
    return {
        "pending": _by_nonce(pending.get(sender, ()), represent_pending, spec),
        "queued": _by_nonce(queued.get(sender, ()), represent_pending, spec),
    }


def _shown(node: Node, show: Callable[[Transaction, ChainSpec], Any]) -> dict[str, Any]:
    """All of the mempool: pending and queued, each by sender and nonce."""
    waiting, size = node.pool.totals()
    if waiting > _MOST:
        raise RpcError(REFUSED, f"the mempool has {waiting} transactions: ask txpool_contentFrom for one account's")
    reserve(_BYTES * waiting + _PER_BYTE * size)
    pending, queued = _split(node, _everything(node))
    return {
        name: {sender: _by_nonce(items, show, node.settings.spec) for sender, items in part.items()}
        for name, part in (("pending", pending), ("queued", queued))
    }


def _everything(node: Node) -> list[Transaction]:
    return [node.rules.recall(entry.fields(), entry.id, entry.nonce) for page in node.pool.by_fee() for entry in page]


Queues = dict[str, list[Transaction]]


def _split(node: Node, waiting: Iterable[Transaction]) -> tuple[Queues, Queues]:
    """The pending and the queued, by sender and in the order of their nonces."""
    queues: Queues = {}
    for transaction in waiting:
        queues.setdefault(transaction.sender, []).append(transaction)
    _, ledger = node.chain.entries(Touched(frozenset(queues), frozenset()))
    pending: Queues = {}
    queued: Queues = {}
    for sender, queue in sorted(queues.items()):
        following = ledger.accounts[sender].nonce
        for transaction in sorted(queue, key=lambda item: item.nonce):
            part = pending if transaction.nonce == following else queued
            part.setdefault(sender, []).append(transaction)
            following += part is pending
    return pending, queued


def _by_nonce(
    queue: Iterable[Transaction], show: Callable[[Transaction, ChainSpec], Any], spec: ChainSpec
) -> dict[str, Any]:
    return {str(transaction.nonce): show(transaction, spec) for transaction in queue}


def _summary(transaction: Transaction, spec: ChainSpec) -> str:
    """One transaction in one line, as geth writes it."""
    raw = raw_of(transaction)
    if raw is not None:
        to, value, gas, price = raw.to, raw.value, raw.gas, raw.gas_price
    else:
        called, gas = bool(call_data_of(transaction)), gas_of(transaction, None)
        to = spec.token.address if called else transaction.recipient
        value, price = 0 if called else transaction.amount, transaction.fee // gas
    return f"{to}: {value} wei + {gas} gas \N{MULTIPLICATION SIGN} {price} wei"
