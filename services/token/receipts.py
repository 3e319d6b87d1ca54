"""What wallets see of a block's transactions: gas, token events and their bloom filters, computed from the block.

None of this is stored or part of consensus: the ledger has neither gas nor contracts. A receipt follows from its block
alone, so it cannot contradict the chain, not even after a reorganisation.

The events add up: at the end of every block, each balance is the sum of its `Transfer` events since block 0
(`spec_block`), and the total supply is what came from the zero address less what went to it. The reward's event
includes the block's fees, so its receipt also has an event for each account that pays some of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.store.records import StoredHeader
from shared import erc20, ethereum
from shared.addresses import ZERO_ADDRESS
from shared.chain_spec import ChainSpec
from shared.erc20 import Log
from shared.transaction import Transaction


class TokenEvent(NamedTuple):  # made in half the time of a dataclass
    """One event of the token, and where it stands in its block."""

    log: Log
    transaction_id: str  # hex
    position: int  # of its transaction
    log_index: int  # among the block's events


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


def execute(transactions: Sequence[Transaction], spec: ChainSpec) -> tuple[Executed, ...]:
    """A block's transactions as wallets see them, the reward first. Their signatures are known to be good."""
    result: list[Executed] = []
    cumulative = events_so_far = 0
    for position, transaction in enumerate(transactions):
        raw = raw_of(transaction)
        gas = gas_of(transaction, raw)
        logs = [log_of(transaction, spec)]
        if position == 0:
            logs += fee_logs(spec.token.address, ((item.sender, item.fee) for item in transactions))
        events = tuple(
            TokenEvent(log, transaction.id, position, events_so_far + offset) for offset, log in enumerate(logs)
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


def log_of(transaction: Transaction, spec: ChainSpec) -> Log:
    """The token's event for a transaction's movement of coin, in either scheme; rewards come from the zero address."""
    return make_log(
        spec.token.address,
        transaction.type,
        transaction.sender,
        transaction.recipient,
        transaction.owner,
        transaction.amount,
    )


def make_log(token: str, kind: str, sender: str, recipient: str, owner: str | None, amount: int) -> Log:
    """As `log_of`, from the fields of a transaction. `amount`: base units."""
    if kind == "approve":
        return erc20.approval_log(token, sender, recipient, amount)
    source = ZERO_ADDRESS if kind == "reward" else owner or sender
    return erc20.transfer_log(token, source, recipient, amount)


def fee_logs(token: str, paid: Iterable[tuple[str, int]]) -> list[Log]:
    """The events of a block's fees, which stand after the reward's own: one `Transfer` to the zero address a payer.

    They are in the order of each payer's first transaction with a fee.

    Args:
        paid: sender and fee (base units) of the block's transactions, in order; those without a fee may be left out.
    """
    total: dict[str, int] = {}
    for sender, fee in paid:
        if fee:
            total[sender] = total.get(sender, 0) + fee
    return [erc20.transfer_log(token, payer, ZERO_ADDRESS, fee) for payer, fee in total.items()]


def call_data_of(transaction: Transaction) -> bytes:
    """The call data that an Ed25519 transaction would have as a call of the token; empty for transfers of value."""
    if transaction.type == "approve":
        return erc20.encode_approve(transaction.recipient, transaction.amount)
    if transaction.type == "transfer_from" and transaction.owner is not None:
        return erc20.encode_transfer_from(transaction.owner, transaction.recipient, transaction.amount)
    return b""
