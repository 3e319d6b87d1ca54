"""Raw Ethereum transactions: what wallets sign, read strictly, and what it means on this ledger (docs/consensus.md).

The bytes are the signature of a transaction here, and their hash is its id. So each transaction must have exactly one
encoding: whatever could be written in two ways (padding, long lengths, high s) is refused.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from coincurve import PrivateKey, PublicKey

from shared import erc20
from shared.addresses import checksummed
from shared.amounts import MAX_AMOUNT
from shared.errors import InputError, RuleError
from shared.hashing import keccak256

LEGACY, ACCESS_LIST, DYNAMIC_FEE = 0, 1, 2  # EIP-155, EIP-2930, EIP-1559

# Gas used per kind of call. Nothing is executed: gas only scales the fee, as wallets expect it to.
GAS = {"transfer": 21_000, "token_transfer": 60_000, "approve": 50_000, "transfer_from": 70_000}
INTRINSIC_GAS = 21_000

# A whole transaction, with these bytes in hex, is at most this long, so the cap refuses nothing that could be valid.
# It bounds the RLP library, which copies a list once per item: 8 KiB of one-byte items take 3 ms, 1 MB takes 8 s.
MAX_RAW_BYTES = 8_192
MAX_NONCE = 2**64 - 2  # EIP-2681: the last one is never used, so that a nonce can always be counted up
MAX_GAS = 2**64 - 1

_N = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # order of secp256k1

_LAYOUTS = {
    LEGACY: "nonce gas_price gas to value input v r s".split(),
    ACCESS_LIST: "chain_id nonce gas_price gas to value input access_list y_parity r s".split(),
    DYNAMIC_FEE: (
        "chain_id nonce max_priority_fee_per_gas max_fee_per_gas gas to value input access_list y_parity r s".split()
    ),
}
_NOT_NUMBERS = frozenset({"to", "input", "access_list"})


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """A raw transaction, checked and with its sender. Addresses are EIP-55, prices are base units per gas."""

    envelope: int  # 0 legacy with EIP-155, 1 EIP-2930, 2 EIP-1559
    chain_id: int
    nonce: int
    sender: str  # recovered from the signature
    to: str
    value: int
    gas: int  # the limit
    gas_price: int  # what each gas costs; the base fee is 0
    max_fee_per_gas: int | None  # envelope 2 only, like the next
    max_priority_fee_per_gas: int | None
    input: bytes
    y_parity: int
    v: int  # legacy: 35 + 2 * chain_id + y_parity; else y_parity
    r: int
    s: int
    raw: bytes

    @property
    def id(self) -> bytes:
        """Its hash: the Keccak-256 of `raw`, 32 bytes."""
        return keccak256(self.raw)


@dataclass(frozen=True, slots=True)
class Call:
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


def decode_raw(raw: bytes, *, sender: str | None = None) -> RawTransaction:
    """Read a raw transaction, check its encoding and signature, and recover its sender.

    Args:
        sender: whose signature is known to be good, as in a block of the chain: then it is not verified again, which is
            most of the work.

    Raises:
        RuleError: and nothing else, whatever the bytes. `transaction_too_large`, `unsupported_type`,
            `malformed_transaction`, `number_too_large`, `nonce_too_high`, `gas_limit_too_large`, `contract_creation`,
            `access_list_not_empty`, `priority_above_max`, `unprotected_transaction`, `bad_signature`, `high_s`.
    """
    if len(raw) > MAX_RAW_BYTES:
        raise RuleError("transaction_too_large", f"A raw transaction is at most {MAX_RAW_BYTES} bytes.")
    envelope = _envelope(raw)
    body = raw if envelope == LEGACY else raw[1:]
    items = _items(body)
    layout = _LAYOUTS[envelope]
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
            raise RuleError("bad_signature", "The signature's v is none that EIP-155 knows.")
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
        sender=sender or _recover(_signed_hash(envelope, body, items[-3:], chain_id), y_parity, r, s),
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


def interpret(tx: RawTransaction, token: str) -> Call:
    """What `tx` does on a ledger whose token shows itself at the address `token` (EIP-55).

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
        max_fee_per_gas: EIP-1559 only; `gas_price` unless given.

    Numbers are not checked, so that tests can sign what must be refused. Negative ones are an OverflowError.

    Raises:
        InputError: `bad_private_key`.
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
    unsigned = [_item(values[name]) for name in _LAYOUTS[envelope][:-3]]
    signature = key.sign_recoverable(_signing_hash(envelope, unsigned, chain_id), hasher=None)
    y_parity = signature[64]
    v = 35 + 2 * chain_id + y_parity if envelope == LEGACY else y_parity
    # Leading zeros of r and s must go: they are numbers in RLP, not strings of 32 bytes.
    body = _rlp().encode([*unsigned, _item(v), signature[:32].lstrip(b"\0"), signature[32:64].lstrip(b"\0")])
    return bytes(body) if envelope == LEGACY else bytes([envelope]) + body


def address_of_private_key(key: bytes) -> str:
    """The EIP-55 address of a secp256k1 private key (32 bytes).

    Raises:
        InputError: `bad_private_key`.
    """
    return _address(_private_key(key).public_key)


@cache
def _rlp() -> Any:
    """The RLP library, imported at its first use: it costs 13 MB, which processes without raw transactions spare."""
    import rlp

    return rlp


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


def _items(body: bytes) -> list[Any]:
    """The items of one RLP list: bytes, or lists of items.

    The library refuses every encoding but the canonical one, at 5 µs for a token transfer of 200 bytes. Lists nested
    by the hundred exhaust Python's stack; no transaction nests deeper than an access list.
    """
    try:
        items = _rlp().decode(body)
    except (_rlp().DecodingError, RecursionError):
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


def _signing_hash(envelope: int, unsigned: list[Any], chain_id: int) -> bytes:
    """What was signed: the Keccak-256 of the fields before the signature, with the chain appended for EIP-155."""
    if envelope == LEGACY:
        return keccak256(_rlp().encode([*unsigned, _item(chain_id), b"", b""], infer_serializer=False))
    return keccak256(bytes([envelope]) + _rlp().encode(unsigned, infer_serializer=False))


def _signed_hash(envelope: int, body: bytes, signature: list[bytes], chain_id: int) -> bytes:
    """The same of a raw transaction that was read: canonical RLP has one encoding, so the signed fields are the bytes
    before the signature's. Encoding them anew would take as long as all the rest of reading.

    Args:
        body: the RLP list. signature: its last three items, numbers of at most 32 bytes.
    """
    start = 1 if body[0] <= 0xF7 else body[0] - 0xF6
    end = len(body) - sum(len(_short(item)) for item in signature)
    fields = body[start:end]
    if envelope == LEGACY:
        fields += _short(_item(chain_id)) + b"\x80\x80"
    length = _item(len(fields))
    head = bytes([0xC0 + len(fields)]) if len(fields) < 56 else bytes([0xF7 + len(length)]) + length
    return keccak256(head + fields if envelope == LEGACY else bytes([envelope]) + head + fields)


def _short(item: bytes) -> bytes:
    """The RLP of less than 56 bytes."""
    return item if len(item) == 1 and item[0] < 0x80 else bytes([0x80 + len(item)]) + item


def _item(value: Any) -> Any:
    """An RLP item: numbers big-endian, without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big") if isinstance(value, int) else value


def _recover(signing_hash: bytes, y_parity: int, r: int, s: int) -> str:
    # libsecp256k1 recovers from high s as well, so that anyone could give a transaction a second id.
    if not 0 < r < _N or not 0 < s < _N:
        raise RuleError("bad_signature", "The signature's r and s must lie between 0 and the order of the curve.")
    if s > _N // 2:
        raise RuleError("high_s", "The signature's s must lie in the lower half (EIP-2).")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        return _address(PublicKey.from_signature_and_message(signature, signing_hash, hasher=None))
    except ValueError:
        raise RuleError("bad_signature", "No key can have made this signature.") from None


def _address(public_key: PublicKey) -> str:
    # The uncompressed form without its first byte: x and y, 32 bytes each.
    return checksummed(keccak256(public_key.format(compressed=False)[1:])[-20:])


def _private_key(key: bytes) -> PrivateKey:
    # coincurve pads short keys and makes a random one of None; neither is what a caller means.
    if not isinstance(key, bytes) or len(key) != 32 or not 0 < int.from_bytes(key, "big") < _N:
        raise InputError(
            "bad_private_key", "A secp256k1 private key is 32 bytes, between 0 and the order of the curve."
        )
    return PrivateKey(key)


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
