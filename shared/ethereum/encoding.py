"""The encoding of raw Ethereum transactions: the fields of each envelope, RLP, and the hash that is signed."""

from functools import cache
from typing import Any

from coincurve import PublicKey

from shared.addresses import checksummed
from shared.hashing import keccak256

LEGACY, ACCESS_LIST, DYNAMIC_FEE = 0, 1, 2  # EIP-155, EIP-2930, EIP-1559

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # order of secp256k1

LAYOUTS = {
    LEGACY: "nonce gas_price gas to value input v r s".split(),
    ACCESS_LIST: "chain_id nonce gas_price gas to value input access_list y_parity r s".split(),
    DYNAMIC_FEE: (
        "chain_id nonce max_priority_fee_per_gas max_fee_per_gas gas to value input access_list y_parity r s".split()
    ),
}


@cache
def rlp_library() -> Any:
    """The RLP library, imported at its first use: it takes 13 MB, and some processes never read raw transactions."""
    import rlp

    return rlp


def signing_hash(envelope: int, unsigned: list[Any], chain_id: int) -> bytes:
    """The hash that is signed: Keccak-256 of the fields before the signature; EIP-155 appends the chain id."""
    if envelope == LEGACY:
        return keccak256(rlp_library().encode([*unsigned, item_of(chain_id), b"", b""], infer_serializer=False))
    return keccak256(bytes([envelope]) + rlp_library().encode(unsigned, infer_serializer=False))


def signed_hash(envelope: int, body: bytes, signature: list[bytes], chain_id: int) -> bytes:
    """As `signing_hash`, of a raw transaction that was read.

    Canonical RLP has one encoding, so the signed fields are the bytes before the signature. Encoding the fields again
    would take as long as the rest of reading.

    Args:
        body: the RLP list.
        signature: its last three items, numbers of at most 32 bytes.
    """
    start = 1 if body[0] <= 0xF7 else body[0] - 0xF6
    end = len(body) - sum(len(_short(item)) for item in signature)
    fields = body[start:end]
    if envelope == LEGACY:
        fields += _short(item_of(chain_id)) + b"\x80\x80"
    length = item_of(len(fields))
    head = bytes([0xC0 + len(fields)]) if len(fields) < 56 else bytes([0xF7 + len(length)]) + length
    return keccak256(head + fields if envelope == LEGACY else bytes([envelope]) + head + fields)


def _short(item: bytes) -> bytes:
    """The RLP of fewer than 56 bytes."""
    return item if len(item) == 1 and item[0] < 0x80 else bytes([0x80 + len(item)]) + item


def item_of(value: Any) -> Any:
    """The RLP item of a value. Numbers become big-endian bytes without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big") if isinstance(value, int) else value


def address_of(public_key: PublicKey) -> str:
    """The EIP-55 address of a public key."""
    # The uncompressed form without its first byte: x and y, 32 bytes each.
    return checksummed(keccak256(public_key.format(compressed=False)[1:])[-20:])
