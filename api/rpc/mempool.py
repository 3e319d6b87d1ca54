"""Methods about the mempool, with the names and shapes of geth: `txpool_content` and others.

A transaction is pending if its account's nonce, or pending transactions before it, lead up to its nonce. Otherwise it
is queued: it waits for those that are missing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from api.rpc.errors import LIMIT_EXCEEDED, REFUSED, RpcError
from api.rpc.method_table import method
from api.rpc.quantity import quantity, read_address
from api.rpc.representations import represent_pending
from api.serving.budget import reserve
from services.node import Node
from services.store.pool import Entry, PoolStore
from services.token.receipts import call_data_of, gas_of, raw_of
from shared.chain_spec import ChainSpec
from shared.ledger import Touched
from shared.transaction import Transaction

# The most transactions that one answer shows. Memory that each takes while the answer is made: so many bytes, and a
# multiple of its own (measured: tests/integration/http/test_large_answers.py).
_MOST = 4_000
_BYTES, _PER_BYTE = 4_000, 4
# Transactions of one account that are read before their memory is reserved.
_PAGE = 100
# Counting reads the whole mempool. If it is large, the same counts are given for this many times as long as that took.
_REST = 20
_LARGE = 1_000
# Seconds that a request waits for another that is counting.
_PATIENCE = 1.0

Item = TypeVar("Item")
# By sender, what waits, with its nonces in order.
Queues = dict[str, list[tuple[int, Item]]]


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many transactions are pending and queued, and when that was so."""

    pending: int
    queued: int
    state: tuple[str, int, int]  # tip, and the mempool's transactions and bytes, when they were counted
    fresh_until: float  # Unix seconds; until then they are given although the state has changed

    def may_be_given(self, state: tuple[str, int, int], now: float) -> bool:
        """Whether they may be given at `now`, when the state is `state`. A clock that was set back ends their time."""
        return self.state == state or 0 <= self.fresh_until - now < 60


_counts: WeakKeyDictionary[PoolStore, _Counts] = WeakKeyDictionary()
_counting = Lock()


@method("txpool_status")
def status(node: Node) -> dict[str, str]:
    found = _counts.get(node.pool)
    state = (node.chain.tip().hash, *node.pool.totals())
    if found is None or not found.may_be_given(state, node.clock.now()):
        # One counts; the others take its result. If it takes too long, they must not each hold a thread for as long.
        if not _counting.acquire(timeout=_PATIENCE):
            raise RpcError(LIMIT_EXCEEDED, "the mempool is being counted: try again")
        try:
            found = _counts.get(node.pool)
            if found is None or not found.may_be_given(state, node.clock.now()):
                found = _counts[node.pool] = _count(node, state)
        finally:
            _counting.release()
    return {"pending": quantity(found.pending), "queued": quantity(found.queued)}


def _count(node: Node, state: tuple[str, int, int]) -> _Counts:
    began = node.clock.now()
    pending, queued = _split(node, ((entry.sender, entry.nonce, None) for entry in _everything(node)))
    took, pool_size = node.clock.now() - began, state[1]
    fresh_until = began + _REST * took if pool_size > _LARGE else 0.0
    return _Counts(sum(map(len, pending.values())), sum(map(len, queued.values())), state, fresh_until)


@method("txpool_content")
def content(node: Node) -> dict[str, Any]:
    return _shown(node, represent_pending)


@method("txpool_inspect")
def inspect(node: Node) -> dict[str, Any]:
    return _shown(node, _summary)


@method("txpool_contentFrom", 1)
def content_from(node: Node, address: Any) -> dict[str, Any]:
    sender = read_address(address)
    [places] = node.pool.queues([sender], node.settings.max_mempool)
    entries: list[Entry] = []
    for start in range(0, len(places), _PAGE):
        page = node.pool.entries([name for _, name in places[start : start + _PAGE]])
        reserve(_BYTES * len(page) + _PER_BYTE * sum(len(entry.text) for entry in page))
        entries += page
    pending, queued = _split(node, ((sender, entry.nonce, entry) for entry in entries))
    return {
        name: _by_nonce(node, part.get(sender, ()), represent_pending)
        for name, part in (("pending", pending), ("queued", queued))
    }


def _shown(node: Node, show: Callable[[Transaction, ChainSpec], Any]) -> dict[str, Any]:
    """All of the mempool: pending and queued, each by sender and nonce."""
    waiting, size = node.pool.totals()
    if waiting > _MOST:
        raise RpcError(REFUSED, f"the mempool has {waiting} transactions: ask txpool_contentFrom for one account's")
    reserve(_BYTES * waiting + _PER_BYTE * size)
    pending, queued = _split(node, ((entry.sender, entry.nonce, entry) for entry in _everything(node)))
    return {
        name: {sender: _by_nonce(node, queue, show) for sender, queue in part.items()}
        for name, part in (("pending", pending), ("queued", queued))
    }


def _everything(node: Node) -> Iterator[Entry]:
    for page in node.pool.by_fee():
        yield from page


def _split(node: Node, waiting: Iterable[tuple[str, int, Item]]) -> tuple[Queues[Item], Queues[Item]]:
    """The pending and the queued of (sender, nonce, item)."""
    queues: Queues[Item] = {}
    for sender, nonce, item in waiting:
        queues.setdefault(sender, []).append((nonce, item))
    _, ledger = node.chain.entries(Touched(frozenset(queues), frozenset()))
    pending: Queues[Item] = {}
    queued: Queues[Item] = {}
    for sender, queue in sorted(queues.items()):
        following = ledger.accounts[sender].nonce
        for nonce, item in sorted(queue, key=lambda place: place[0]):
            part = pending if nonce == following else queued
            part.setdefault(sender, []).append((nonce, item))
            following += part is pending
    return pending, queued


def _by_nonce(
    node: Node, queue: Iterable[tuple[int, Entry]], show: Callable[[Transaction, ChainSpec], Any]
) -> dict[str, Any]:
    return {
        str(nonce): show(node.rules.recall(entry.text, entry.id, nonce), node.settings.spec) for nonce, entry in queue
    }


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
