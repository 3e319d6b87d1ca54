"""Signing raw Ethereum transactions, and the address of a private key."""

from typing import Any

from coincurve import PrivateKey

from shared.errors import InputError
from shared.ethereum.encoding import DYNAMIC_FEE, LAYOUTS, LEGACY, ORDER, address_of, item_of, rlp_library, signing_hash


def sign_raw(
    *,
    private_key: bytes,
    chain_id: int,
    nonce: int,
    to: str,
    gas: int,
    gas_price: int,
    value: int = 0,
    input: bytes = b"",
    envelope: int = DYNAMIC_FEE,
    max_fee_per_gas: int | None = None,
) -> bytes:
    """A signed raw transaction. The signature is deterministic (RFC 6979) and low-s.

    Args:
        private_key: 32 bytes.
        to: `0x` and 40 hexadecimal digits.
        gas_price: base units per gas; the priority fee of an EIP-1559 transaction.
        max_fee_per_gas: EIP-1559 only; None means `gas_price`.

    Numbers are not checked, so that tests can sign transactions that must be refused.

    Raises:
        InputError: `bad_private_key`.
        OverflowError: a number is negative.
    """
    key = _private_key(private_key)
    values: dict[str, int | bytes | list[Any]] = {
        "chain_id": chain_id,
        "nonce": nonce,
        "gas_price": gas_price,
        "max_priority_fee_per_gas": gas_price,
        "max_fee_per_gas": gas_price if max_fee_per_gas is None else max_fee_per_gas,
        "gas": gas,
        "to": bytes.fromhex(to[2:]),
        "value": value,
        "input": input,
        "access_list": [],
    }
    unsigned = [item_of(values[name]) for name in LAYOUTS[envelope][:-3]]
    signature = key.sign_recoverable(signing_hash(envelope, unsigned, chain_id), hasher=None)
    y_parity = signature[64]
    v = 35 + 2 * chain_id + y_parity if envelope == LEGACY else y_parity
    # r and s are numbers in RLP, not strings of 32 bytes, so their leading zeros are removed.
    body = rlp_library().encode([*unsigned, item_of(v), signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")])
    return bytes(body) if envelope == LEGACY else bytes([envelope]) + body


def address_of_private_key(key: bytes) -> str:
    """The EIP-55 address of a secp256k1 private key (32 bytes).

    Raises:
        InputError: `bad_private_key`.
    """
    return address_of(_private_key(key).public_key)


def _private_key(key: bytes) -> PrivateKey:
    # coincurve pads short keys and turns None into a random key.
    if not isinstance(key, bytes) or len(key) != 32 or not 0 < int.from_bytes(key, "big") < ORDER:
        raise InputError(
            "bad_private_key", "A secp256k1 private key is 32 bytes, between 0 and the order of the curve."
        )
    return PrivateKey(key)
