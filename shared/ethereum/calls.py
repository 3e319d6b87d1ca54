"""What a raw Ethereum transaction means on this ledger (docs/consensus.md)."""

from typing import NamedTuple

from shared import erc20
from shared.amounts import MAX_AMOUNT
from shared.errors import RuleError
from shared.ethereum.raw import RawTransaction

# Gas used per kind of call. Nothing is executed; gas only scales the fee, as wallets expect.
GAS = {"transfer": 21_000, "token_transfer": 60_000, "approve": 50_000, "transfer_from": 70_000}
INTRINSIC_GAS = 21_000


class Call(NamedTuple):
    """A raw transaction in the ledger's terms. Amounts and fees are base units."""

    type: str  # transfer, approve, transfer_from
    chain_id: int
    nonce: int
    sender: str
    recipient: str  # the spender, for approve
    amount: int
    fee: int  # gas_used times the gas price
    owner: str | None  # transfer_from only
    gas_used: int


def interpret(tx: RawTransaction, token: str) -> Call:
    """What `tx` does on a ledger whose token has the address `token` (EIP-55).

    Raises:
        RuleError: `intrinsic_gas_too_low`, `gas_too_low`, `fee_too_high`, `no_such_contract`, `token_takes_no_value`,
            `bad_call_data`, `unknown_selector`, `read_only_call`.
    """
    if tx.gas < INTRINSIC_GAS:
        raise RuleError("intrinsic_gas_too_low", f"The gas limit must be at least {INTRINSIC_GAS}.")
    owner: str | None = None
    if tx.to == token:
        kind, owner, recipient, amount = _token_call(tx)
    elif tx.input:
        raise RuleError("no_such_contract", "Only the token takes call data; there is no contract at this address.")
    else:
        kind, recipient, amount = "transfer", tx.to, tx.value
    gas_used = GAS[kind]
    if tx.gas < gas_used:
        raise RuleError("gas_too_low", f"The gas limit of this call must be at least {gas_used}.")
    fee = gas_used * tx.gas_price
    if fee > MAX_AMOUNT:
        raise RuleError("fee_too_high", "Gas used times gas price must be below 2^256 base units.")
    return Call(
        type="transfer" if kind == "token_transfer" else kind,
        chain_id=tx.chain_id,
        nonce=tx.nonce,
        sender=tx.sender,
        recipient=recipient,
        amount=amount,
        fee=fee,
        owner=owner,
        gas_used=gas_used,
    )


def _token_call(tx: RawTransaction) -> tuple[str, str | None, str, int]:
    """Kind, owner, recipient and amount of a call of the token."""
    if not tx.input:
        raise RuleError("bad_call_data", "The token's address takes calls, not plain transfers.")
    if tx.value:
        raise RuleError("token_takes_no_value", "A call of the token must not send value besides.")
    call = erc20.decode_call(tx.input)
    match call.function, call.addresses:
        case "transfer", (recipient,):
            return "token_transfer", None, recipient, call.amount
        case "approve", (spender,):
            return "approve", None, spender, call.amount
        case "transferFrom", (owner, recipient):
            return "transfer_from", owner, recipient, call.amount
    raise RuleError("read_only_call", "This function only reads: ask it with eth_call, without a transaction.")
