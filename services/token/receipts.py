"""Blocks as wallets see them: gas, token events and their bloom filters, computed from the block itself.

None of this is stored or part of consensus: the ledger has neither gas nor contracts. A receipt follows from its block
alone, so it cannot contradict the chain, not even after a reorganisation.
"""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.store.chain import ChainStore
from services.store.records import StoredHeader
from shared import erc20, ethereum
from shared.addresses import ZERO_ADDRESS
from shared.amounts import parse_amount
from shared.chain_spec import ChainSpec
from shared.erc20 import Log
from shared.rules import Rules
from shared.transaction import Transaction

# Executed transactions that are kept, some 5 kB each, and events, some 1 kB each.
_KEPT_TRANSACTIONS = 4_000
_KEPT_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One event of the token, and where it stands in its block."""

    log: Log
    transaction_id: str  # hex
    position: int  # of its transaction
    index: int  # among the block's events


@dataclass(frozen=True, slots=True)
class Executed:
    """One transaction of a block, with the results that a virtual machine would give."""

    transaction: Transaction
    raw: ethereum.RawTransaction | None  # None: a reward or an Ed25519 transaction
    position: int
    gas_used: int
    gas_price: int  # effective, base units
    cumulative_gas: int  # of the block, up to and with this one
    events: tuple[TokenEvent, ...]


@dataclass(frozen=True, slots=True)
class WalletBlock:
    """A block with its transactions executed."""

    stored: StoredHeader
    transactions: tuple[Executed, ...]
    bloom: bytes

    @property
    def gas_used(self) -> int:
        return self.transactions[-1].cumulative_gas if self.transactions else 0


class WalletBlocks:
    """Reads blocks from the chain; keeps those that were read last."""

    def __init__(self, chain: ChainStore, rules: Rules) -> None:
        self._chain = chain
        self._rules = rules
        self._blocks = _Kept[WalletBlock](_KEPT_TRANSACTIONS)
        self._events = _Kept[tuple[TokenEvent, ...]](_KEPT_EVENTS)

    def block(self, stored: StoredHeader) -> WalletBlock:
        """The block of a stored header, executed."""
        return self._blocks.get(stored.header.hash, stored.transactions, lambda: self._read_block(stored))

    def events(self, stored: StoredHeader) -> tuple[TokenEvent, ...]:
        """The events alone, at a tenth of the cost."""
        return self._events.get(stored.header.hash, stored.transactions, lambda: self._read_events(stored))

    def _read_block(self, stored: StoredHeader) -> WalletBlock:
        text = self._chain.block_bytes(stored.header.hash)
        transactions = self._rules.read_block(json.loads(text)).transactions if text else ()
        executed = execute(transactions, self._rules.spec)
        return WalletBlock(stored, executed, erc20.bloom(event.log for item in executed for event in item.events))

    def _read_events(self, stored: StoredHeader) -> tuple[TokenEvent, ...]:
        token = self._rules.spec.token.address
        body = self._chain.block_object(stored.header.hash)["transactions"]
        result: list[TokenEvent] = []
        for position, (name, item) in enumerate(
            zip(self._chain.transaction_ids(stored.header.hash), body, strict=True)
        ):
            log = _log(
                token, item["type"], item["sender"], item["recipient"], item.get("owner"), parse_amount(item["amount"])
            )
            result.append(TokenEvent(log, name, position, len(result)))
        return tuple(result)


V = TypeVar("V")


class _Kept(Generic[V]):
    """Results for the last blocks, kept by block hash, so they do not go stale."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._values: dict[str, tuple[V, int]] = {}
        self._used = 0
        self._lock = threading.Lock()

    def get(self, key: str, size: int, make: Callable[[], V]) -> V:
        found = self._values.get(key)
        if found is not None:
            return found[0]
        # One thread makes it at a time: most threads wait for the same new block, and each would make it again.
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                return found[0]
            value = make()
            self._values[key] = value, size
            self._used += size
            while self._used > self._budget and len(self._values) > 1:
                oldest = next(iter(self._values))
                self._used -= self._values.pop(oldest)[1]
            return value


def execute(transactions: Sequence[Transaction], spec: ChainSpec) -> tuple[Executed, ...]:
    """A block's transactions as wallets see them, in order. Their signatures are known to be good."""
    result: list[Executed] = []
    cumulative = events_so_far = 0
    for position, transaction in enumerate(transactions):
        raw = raw_of(transaction)
        gas = gas_of(transaction, raw)
        events = tuple(
            TokenEvent(log, transaction.id, position, events_so_far + offset)
            for offset, log in enumerate(logs_of(transaction, spec))
        )
        cumulative += gas
        price = raw.gas_price if raw else transaction.fee // gas
        result.append(Executed(transaction, raw, position, gas, price, cumulative, events))
        events_so_far += len(events)
    return tuple(result)


def raw_of(transaction: Transaction) -> ethereum.RawTransaction | None:
    """The raw transaction that a wallet signed, if one did. Its signature is known to be good."""
    if transaction.fields.get("scheme") != "ethereum":
        return None
    return ethereum.decode_raw(bytes.fromhex(transaction.fields["signature"]), sender=transaction.sender)


def gas_of(transaction: Transaction, raw: ethereum.RawTransaction | None) -> int:
    """The gas that a transaction of its kind uses; that of a plain transfer of value, unless it calls the token."""
    if transaction.type in ("approve", "transfer_from"):
        return ethereum.GAS[transaction.type]
    return ethereum.GAS["token_transfer" if raw and raw.input else "transfer"]


def logs_of(transaction: Transaction, spec: ChainSpec) -> tuple[Log, ...]:
    """The token's events: one for every movement of coin, in either scheme; rewards come from the zero address."""
    return (
        _log(
            spec.token.address,
            transaction.type,
            transaction.sender,
            transaction.recipient,
            transaction.owner,
            transaction.amount,
        ),
    )


def _log(token: str, kind: str, sender: str, recipient: str, owner: str | None, amount: int) -> Log:
    if kind == "approve":
        return erc20.approval_log(token, sender, recipient, amount)
    source = ZERO_ADDRESS if kind == "reward" else owner or sender
    return erc20.transfer_log(token, source, recipient, amount)


def call_data_of(transaction: Transaction) -> bytes:
    """The call data that an Ed25519 transaction would have as a call of the token; empty for transfers of value."""
    if transaction.type == "approve":
        return erc20.encode_approve(transaction.recipient, transaction.amount)
    if transaction.type == "transfer_from" and transaction.owner is not None:
        return erc20.encode_transfer_from(transaction.owner, transaction.recipient, transaction.amount)
    return b""
