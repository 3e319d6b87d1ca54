"""Blocks as wallets see them: gas, token events and their bloom filters, computed from the block itself.

Nothing of this is stored or agreed upon: the ledger has neither gas nor contracts. Since it follows from the block
alone, a receipt can never contradict the chain, also after a reorganisation.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from services.store.chain import ChainStore
from services.store.records import StoredHeader
from shared import erc20, ethereum
from shared.chain_spec import ChainSpec
from shared.erc20 import Log
from shared.rules import Rules
from shared.transaction import Transaction

ZERO_ADDRESS = "0x0000000000000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Executed:
    """One transaction of a block, with what a virtual machine would have said of it."""

    transaction: Transaction
    raw: ethereum.RawTransaction | None  # None: a reward or an Ed25519 transaction
    position: int
    gas_used: int
    gas_price: int  # effective, base units
    cumulative_gas: int  # of the block, up to and with this one
    logs: tuple[Log, ...]
    first_log: int  # index in the block


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
    """Reads blocks from the chain; the last few are kept."""

    def __init__(self, chain: ChainStore, rules: Rules) -> None:
        self._chain = chain
        self._rules = rules
        self._block = lru_cache(maxsize=32)(self._read)

    def block(self, stored: StoredHeader) -> WalletBlock:
        """The block of a stored header."""
        return self._block(stored)

    def _read(self, stored: StoredHeader) -> WalletBlock:
        text = self._chain.block_bytes(stored.header.hash)
        transactions = self._rules.read_block(json.loads(text)).transactions if text else ()
        executed = execute(transactions, self._rules.spec)
        logs = [log for item in executed for log in item.logs]
        return WalletBlock(stored, executed, erc20.bloom(logs))


def execute(transactions: Sequence[Transaction], spec: ChainSpec) -> tuple[Executed, ...]:
    """What wallets are told of a block's transactions, in order."""
    result: list[Executed] = []
    cumulative = logs_so_far = 0
    for position, transaction in enumerate(transactions):
        raw = raw_of(transaction)
        gas = gas_of(transaction, raw)
        logs = logs_of(transaction, spec)
        cumulative += gas
        price = raw.gas_price if raw else transaction.fee // gas
        result.append(Executed(transaction, raw, position, gas, price, cumulative, logs, logs_so_far))
        logs_so_far += len(logs)
    return tuple(result)


def raw_of(transaction: Transaction) -> ethereum.RawTransaction | None:
    """The raw transaction that a wallet signed, if one did."""
    if transaction.fields.get("scheme") != "ethereum":
        return None
    return ethereum.decode_raw(bytes.fromhex(transaction.fields["signature"]))


def gas_of(transaction: Transaction, raw: ethereum.RawTransaction | None) -> int:
    """The gas that a transaction of its kind uses; a transfer of value where nothing says otherwise."""
    if transaction.type in ("approve", "transfer_from"):
        return ethereum.GAS[transaction.type]
    return ethereum.GAS["token_transfer" if raw and raw.input else "transfer"]


def logs_of(transaction: Transaction, spec: ChainSpec) -> tuple[Log, ...]:
    """The token's events: one for every movement of coin, whoever signed it; rewards come from the zero address."""
    token = spec.token.address
    if transaction.type == "approve":
        return (erc20.approval_log(token, transaction.sender, transaction.recipient, transaction.amount),)
    source = ZERO_ADDRESS if transaction.type == "reward" else transaction.owner or transaction.sender
    return (erc20.transfer_log(token, source, transaction.recipient, transaction.amount),)


def call_data_of(transaction: Transaction) -> bytes:
    """The call data that an Ed25519 transaction would have as a call of the token; empty for transfers of value."""
    if transaction.type == "approve":
        return erc20.encode_approve(transaction.recipient, transaction.amount)
    if transaction.type == "transfer_from" and transaction.owner is not None:
        return erc20.encode_transfer_from(transaction.owner, transaction.recipient, transaction.amount)
    return b""
