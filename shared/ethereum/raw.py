"""Reading raw Ethereum transactions, strictly.

On this ledger the raw bytes are a transaction's signature, and their hash is its id. So each transaction must have
exactly one encoding: padding, long forms of lengths and a high s are refused.
"""

from typing import Any, NamedTuple, NoReturn

from coincurve import PublicKey

from shared.addresses import checksummed
from shared.errors import RuleError
from shared.ethereum.encoding import (
    ACCESS_LIST,
    DYNAMIC_FEE,
    LAYOUTS,
    LEGACY,
    ORDER,
    address_of,
    rlp_library,
    signed_hash,
)
from shared.hashing import keccak256

# A transaction contains these bytes in hex and has at most 8,192 bytes itself, so the cap refuses nothing valid. It
# bounds the work of the RLP library, which copies a list once per item: 8 KiB of one-byte items take 3 ms, 1 MB 8 s.
MAX_RAW_BYTES = 8_192
MAX_NONCE = 2**64 - 2  # EIP-2681: 2^64 - 1 is never used, so a nonce can always be incremented
MAX_GAS = 2**64 - 1

_NOT_NUMBERS = frozenset({"to", "input", "access_list"})


class RawTransaction(NamedTuple):
    """A checked raw transaction and its sender. Addresses are EIP-55, prices are base units per gas."""

    envelope: int  # 0 legacy with EIP-155, 1 EIP-2930, 2 EIP-1559
    chain_id: int
    nonce: int
    sender: str  # recovered from the signature
    to: str
    value: int
    gas: int  # the limit
    gas_price: int  # what each gas costs; the base fee is 0
    max_fee_per_gas: int | None  # envelope 2 only, as is the next field
    max_priority_fee_per_gas: int | None
    input: bytes
    y_parity: int
    v: int  # legacy: 35 + 2 * chain_id + y_parity; else y_parity
    r: int
    s: int
    raw: bytes

    @property
    def id(self) -> bytes:
        """Keccak-256 of `raw`, 32 bytes."""
        return keccak256(self.raw)


def decode_raw(raw: bytes, *, sender: str | None = None) -> RawTransaction:
    """Read a raw transaction, check its encoding and signature, and recover its sender.

    Args:
        sender: the sender, if the signature is known to be good, as in a block of the chain. Then it is not verified
            again, which saves most of the work.

    Raises:
        RuleError: the only exception, whatever the bytes: `transaction_too_large`, `unsupported_type`,
            `malformed_transaction`, `number_too_large`, `nonce_too_high`, `gas_limit_too_large`, `contract_creation`,
            `access_list_not_empty`, `priority_above_max`, `unprotected_transaction`, `bad_signature`, `high_s`.
    """
    if len(raw) > MAX_RAW_BYTES:
        raise RuleError("transaction_too_large", f"A raw transaction is at most {MAX_RAW_BYTES} bytes.")
    envelope = _envelope(raw)
    body = raw if envelope == LEGACY else raw[1:]
    items = _plain_items(body) or _items(body)
    layout = LAYOUTS[envelope]
    if len(items) != len(layout):
        _malformed("The raw transaction has too few or too many fields.")
    fields = dict(zip(layout, items, strict=True))
    if not isinstance(fields["to"], bytes) or not isinstance(fields["input"], bytes):
        _malformed("A field of the raw transaction is a list.")
    number = {name: _number(item, name) for name, item in fields.items() if name not in _NOT_NUMBERS}
    _check_fields(fields, number)

    if envelope == LEGACY:
        v = number["v"]
        if v in (27, 28):
            raise RuleError("unprotected_transaction", "A legacy transaction must name its chain (EIP-155).")
        if v < 35:
            raise RuleError("bad_signature", "The signature's v must be 35 or more (EIP-155).")
        chain_id, y_parity = divmod(v - 35, 2)
    else:
        chain_id, v = number["chain_id"], number["y_parity"]
        y_parity = v
        if y_parity > 1:
            raise RuleError("bad_signature", "The signature's y-parity must be 0 or 1.")

    r, s = number["r"], number["s"]
    return RawTransaction(
        envelope=envelope,
        chain_id=chain_id,
        nonce=number["nonce"],
        sender=sender or _recover(signed_hash(envelope, body, items[-3:], chain_id), y_parity, r, s),
        to=checksummed(fields["to"]),
        value=number["value"],
        gas=number["gas"],
        # min(max_fee, base fee + priority), with a base fee of 0 and priority <= max_fee
        gas_price=number["max_priority_fee_per_gas"] if envelope == DYNAMIC_FEE else number["gas_price"],
        max_fee_per_gas=number.get("max_fee_per_gas"),
        max_priority_fee_per_gas=number.get("max_priority_fee_per_gas"),
        input=fields["input"],
        y_parity=y_parity,
        v=v,
        r=r,
        s=s,
        raw=raw,
    )


def _malformed(message: str) -> NoReturn:
    raise RuleError("malformed_transaction", message)


def _envelope(raw: bytes) -> int:
    if not raw:
        _malformed("The raw transaction is empty.")
    first = raw[0]
    if first >= 0xC0:  # the beginning of a list; types end at 0x7f (EIP-2718)
        return LEGACY
    if first >= 0x80:
        _malformed("The raw transaction is neither a list nor a typed envelope.")
    if first not in (ACCESS_LIST, DYNAMIC_FEE):
        raise RuleError("unsupported_type", "Only transactions of types 0, 1 and 2 are accepted.")
    return first


def _plain_items(body: bytes) -> list[Any] | None:
    """As `_items`, of a list such as wallets send, in a quarter of the time.

    None: the list or a text has more than 255 bytes, or a list in it is not empty, or the encoding is not canonical;
    the library says which.
    """
    stop = len(body)
    if stop > 57 and body[0] == 0xF8:
        start, size = 2, body[1]
    elif stop and body[0] < 0xF8:
        start, size = 1, body[0] - 0xC0
    else:
        return None
    if start + size != stop:
        return None
    items: list[Any] = []
    while start < stop:
        head = body[start]
        first = start + 1
        if head < 0x80:  # a byte that is its own encoding
            start, first = first, start
        elif head < 0xB8:
            start = first + head - 0x80
            if head == 0x81 and body[first:start] < b"\x80":
                return None
        elif head == 0xB8 and first < stop and body[first] > 55:
            first += 1
            start = first + body[first - 1]
        elif head == 0xC0:
            start = first
            items.append([])
            continue
        else:
            return None
        items.append(body[first:start])
    return items if start == stop else None


def _items(body: bytes) -> list[Any]:
    """The items of one RLP list: bytes, or lists of items.

    The library refuses every encoding but the canonical one; a token transfer of 200 bytes takes 5 µs. Hundreds of
    nested lists exhaust Python's stack; no transaction nests deeper than an access list.
    """
    try:
        items = rlp_library().decode(body)
    except (rlp_library().DecodingError, RecursionError):
        _malformed("The raw transaction is not canonical RLP.")
    if not isinstance(items, list):
        _malformed("The raw transaction is not a list.")
    return items


def _number(item: Any, name: str) -> int:
    if not isinstance(item, bytes):
        _malformed("A field of the raw transaction is a list.")
    if item[:1] == b"\0":
        _malformed("A number in the raw transaction has leading zeros.")
    if len(item) > 32:
        raise RuleError("number_too_large", f"The raw transaction's {name} must be below 2^256.")
    return int.from_bytes(item, "big")


def _check_fields(fields: dict[str, Any], number: dict[str, int]) -> None:
    if number["nonce"] > MAX_NONCE:
        raise RuleError("nonce_too_high", "The nonce must be below 2^64 - 1 (EIP-2681).")
    if number["gas"] > MAX_GAS:
        raise RuleError("gas_limit_too_large", "The gas limit must be below 2^64.")
    if not fields["to"]:
        raise RuleError(
            "contract_creation", "There are no contracts to create here: the transaction needs a recipient."
        )
    if len(fields["to"]) != 20:
        _malformed("The recipient in the raw transaction is not 20 bytes.")
    access_list = fields.get("access_list", [])
    if not isinstance(access_list, list):
        _malformed("The access list of the raw transaction is not a list.")
    if access_list:
        raise RuleError("access_list_not_empty", "The access list must be empty: there is no storage to list.")
    if number.get("max_priority_fee_per_gas", 0) > number.get("max_fee_per_gas", 0):
        raise RuleError("priority_above_max", "The priority fee per gas must not exceed the maximum fee per gas.")


def _recover(digest: bytes, y_parity: int, r: int, s: int) -> str:
    # libsecp256k1 accepts a high s too, and with it anyone could give a transaction a second id.
    if not 0 < r < ORDER or not 0 < s < ORDER:
        raise RuleError("bad_signature", "The signature's r and s must lie between 0 and the order of the curve.")
    if s > ORDER // 2:
        raise RuleError("high_s", "The signature's s must lie in the lower half (EIP-2).")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        return address_of(PublicKey.from_signature_and_message(signature, digest, hasher=None))
    except ValueError:
        raise RuleError("bad_signature", "No key can have made this signature.") from None
