"""The wallets of simulated nodes, and the payments that they sign."""

from typing import Any

from shared.amounts import format_amount
from shared.chain_spec import ChainSpec
from shared.hashing import sha256
from shared.keys import KeyPair
from shared.transaction import sign


def wallet_key(number: int) -> KeyPair:
    """The key of the wallet of node `number`, from 1: SHA-256 of `quarry lab node NUMBER` is its seed."""
    return KeyPair(sha256(f"quarry lab node {number}".encode()))


def payment(spec: ChainSpec, key: KeyPair, *, to: str, amount: int, nonce: int, fee: int) -> dict[str, Any]:
    """A signed transfer as a JSON object. Amount and fee in base units.

    Raises:
        InputError: as `sign`, for example if `to` is no address.
    """
    unsigned = {
        "type": "transfer",
        "chain_id": spec.chain_id,
        "nonce": nonce,
        "sender": key.address,
        "recipient": to,
        "amount": format_amount(amount),
        "fee": format_amount(fee),
    }
    return sign(unsigned, key)
