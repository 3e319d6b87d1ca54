"""Signing raw Ethereum transactions, and the address of a private key."""

from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey

from shared.errors import InputError
from shared.ethereum.encoding import DYNAMIC_FEE, LAYOUTS, LEGACY, ORDER, address_of, item_of, rlp_library, signing_hash


@dataclass(frozen=True, slots=True)
class Fields:
    """The unsigned fields of a raw transaction. Numbers are not checked: tests sign what must be refused."""

    chain_id: int
    nonce: int
    to: str  # `0x` and 40 hexadecimal digits
    gas: int
    gas_price: int  # base units per gas; the priority fee of an EIP-1559 transaction
    value: int = 0
    input: bytes = b""
    envelope: int = DYNAMIC_FEE
    max_fee_per_gas: int | None = None  # EIP-1559 only; None means `gas_price`

    def items(self) -> list[Any]:
        """The RLP items before the signature. Raises: OverflowError, a number is negative."""
        values: dict[str, int | bytes | list[Any]] = {
            "chain_id": self.chain_id,
            "nonce": self.nonce,
            "gas_price": self.gas_price,
            "max_priority_fee_per_gas": self.gas_price,
            "max_fee_per_gas": self.gas_price if self.max_fee_per_gas is None else self.max_fee_per_gas,
            "gas": self.gas,
            "to": bytes.fromhex(self.to[2:]),
            "value": self.value,
            "input": self.input,
            "access_list": [],
        }
        return [item_of(values[name]) for name in LAYOUTS[self.envelope][:-3]]


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
        private_key: 32 bytes. The other arguments are those of `Fields`.

    Raises:
        InputError: `bad_private_key`.
        OverflowError: a number is negative.
    """
    key = private_key_of(private_key)
    unsigned = Fields(chain_id, nonce, to, gas, gas_price, value, input, envelope, max_fee_per_gas).items()
    signature = key.sign_recoverable(signing_hash(envelope, unsigned, chain_id), hasher=None)
    y_parity = signature[64]
    v = 35 + 2 * chain_id + y_parity if envelope == LEGACY else y_parity
    # r and s are numbers in RLP, not strings of 32 bytes, so their leading zeros are removed.
    return _raw(envelope, [*unsigned, item_of(v), signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")])


def unsigned_raw(fields: Fields) -> bytes:
    """A raw transaction whose signature is 0, 0, 0: what a wallet is given to sign, as geth writes it."""
    return _raw(fields.envelope, [*fields.items(), b"", b"", b""])


def _raw(envelope: int, items: list[Any]) -> bytes:
    body = bytes(rlp_library().encode(items))
    return body if envelope == LEGACY else bytes([envelope]) + body


def address_of_private_key(key: bytes) -> str:
    """The EIP-55 address of a secp256k1 private key (32 bytes).

    Raises:
        InputError: `bad_private_key`.
    """
    return address_of(private_key_of(key).public_key)


def private_key_of(key: bytes) -> PrivateKey:
    """The key of 32 bytes. Raises: InputError, `bad_private_key`."""
    # coincurve pads short keys and turns None into a random key.
    if not isinstance(key, bytes) or len(key) != 32 or not 0 < int.from_bytes(key, "big") < ORDER:
        raise InputError(
            "bad_private_key", "A secp256k1 private key is 32 bytes, between 0 and the order of the curve."
        )
    return PrivateKey(key)
