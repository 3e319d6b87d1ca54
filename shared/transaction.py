"""Transactions: their fields, normal form, ids and signatures (docs/consensus.md)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared import ethereum, keys
from shared.addresses import ZERO_ADDRESS, address_of_public_key, parse_address, require_address
from shared.amounts import MAX_AMOUNT, format_amount, parse_amount
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.errors import InputCode, InputError, RuleError, ShapeError
from shared.hashing import keccak256, sha256
from shared.wire import MAX_INTEGER, is_plain_text

TYPES = ("transfer", "approve", "transfer_from")
SCHEMES = ("ed25519", "ethereum")

# Canonical bytes, signature included. A consensus rule: it limits what a peer can make a node read.
MAX_TRANSACTION_BYTES = 8192
# EIP-2681: no nonce could follow a higher one.
MAX_NONCE = 2**64 - 2

_DOMAIN = b"quarry-transaction:"
# The fields that every transaction has, apart from its signature. A reward has these and no others.
UNSIGNED = frozenset({"type", "chain_id", "nonce", "sender", "recipient", "amount", "fee"})
_SIGNATURE_FIELDS = frozenset({"scheme", "signature", "public_key"})
# The same in canonical bytes of the ed25519 scheme, whose last field is `type`. Quotes in `data` follow a backslash.
_SIGNED_FIELDS = re.compile(rb'"(?:public_key|scheme|signature)": "[0-9a-z]*", ')
_HEX = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction whose fields have been checked, but not its signature: see `check_signature`.

    Amounts are base units.
    """

    id: str  # hex
    type: str  # transfer | approve | transfer_from | reward
    chain_id: int
    nonce: int
    sender: str
    recipient: str  # the spender, for approve
    amount: int
    fee: int
    owner: str | None
    fields: dict[str, Any]  # the JSON object, exactly as hashed
    canonical: bytes  # of `fields`

    @property
    def payer(self) -> str | None:
        """The account whose balance the amount comes from; None for an approval, which moves nothing."""
        if self.type == "approve":
            return None
        return self.owner if self.type == "transfer_from" else self.sender

    @property
    def size(self) -> int:
        """Canonical bytes."""
        return len(self.canonical)


def normalise(request: Any) -> dict[str, Any]:
    """A request in the normal form that is hashed: addresses with checksum, amounts as strings.

    The signature must have been made over the normal form. Other fields are left as they are; `read_transaction`
    checks them.

    Raises:
        InputError: `not_an_object`, `bad_address`, `bad_checksum`, `bad_amount`.
    """
    if not isinstance(request, dict):
        raise InputError("not_an_object", "A transaction is a JSON object.")
    fields = dict(request)
    for name in ("sender", "recipient", "owner"):
        if name in fields:
            fields[name] = parse_address(fields[name], field=name)
    for name in ("amount", "fee"):
        if type(fields.get(name)) is int:
            if not 0 <= fields[name] <= MAX_AMOUNT:
                raise InputError("bad_amount", f"{name} must be from 0 to below 2^256 base units.", field=name)
            fields[name] = str(fields[name])
    return fields


def read_transaction(value: Any) -> Transaction:
    """A signed transaction from its JSON object in normal form. Fields are checked, but not the signature.

    Raises:
        ShapeError: `unknown_field`, `missing_field`.
        InputError: `bad_amount`, `bad_address`, `bad_nonce` and the like: a field has an impossible value.
        RuleError: `transaction_too_large`.
    """
    if not isinstance(value, dict):
        raise InputError("not_an_object", "A transaction is a JSON object.")
    kind, scheme = value.get("type"), value.get("scheme")
    _require_fields(value, kind, scheme)
    if kind not in TYPES:
        raise InputError("unknown_type", f"type must be one of {', '.join(TYPES)}.", field="type")
    if scheme not in SCHEMES:
        raise InputError("unknown_scheme", f"scheme must be one of {', '.join(SCHEMES)}.", field="scheme")
    nonce = value["nonce"]
    if type(nonce) is not int or nonce < 0:
        raise InputError("bad_nonce", "nonce must be a whole number from 0.", field="nonce")
    if nonce > MAX_NONCE:
        raise InputError("nonce_too_high", "nonce must be below 2^64 - 1 (EIP-2681).", field="nonce")
    _require_chain_id(value["chain_id"])
    data = value.get("data")
    if "data" in value and not (isinstance(data, str) and data and is_plain_text(data)):
        raise InputError("bad_data", "data must be non-empty text without NUL.", field="data")
    sender = require_address(value["sender"], field="sender")
    recipient = require_address(value["recipient"], field="recipient")
    owner = require_address(value["owner"], field="owner") if kind == "transfer_from" else None
    amount = parse_amount(value["amount"])
    fee = parse_amount(value["fee"], field="fee")
    signature = value["signature"]
    if scheme == "ed25519":
        _require_hex(signature, "bad_signature", "signature", 64)
        _require_hex(value["public_key"], "bad_public_key", "public_key", 32)
        identifier = sha256(signing_message(value))
    else:
        _require_hex(signature, "bad_signature", "signature", None)
        identifier = keccak256(bytes.fromhex(signature))
    whole = canonical(value)
    if len(whole) > MAX_TRANSACTION_BYTES:
        raise _too_large()
    return Transaction(
        id=identifier.hex(),
        type=kind,
        chain_id=value["chain_id"],
        nonce=nonce,
        sender=sender,
        recipient=recipient,
        amount=amount,
        fee=fee,
        owner=owner,
        fields=value,
        canonical=whole,
    )


def recalled(fields: dict[str, Any], identifier: str, text: bytes) -> Transaction:
    """A transaction that was read and checked earlier, from its JSON object, its id and its canonical text. Nothing is
    checked again.
    """
    return Transaction(
        id=identifier,
        type=fields["type"],
        chain_id=fields["chain_id"],
        nonce=fields["nonce"],
        sender=fields["sender"],
        recipient=fields["recipient"],
        amount=parse_amount(fields["amount"]),
        fee=parse_amount(fields["fee"]),
        owner=fields.get("owner"),
        fields=fields,
        canonical=text,
    )


def signing_message(fields: Mapping[str, Any]) -> bytes:
    """The bytes that an Ed25519 signature signs: a domain tag and the unsigned fields. Their SHA-256 is the id."""
    return _DOMAIN + canonical({name: value for name, value in fields.items() if name not in _SIGNATURE_FIELDS})


def message_of(transaction: Transaction) -> bytes:
    """`signing_message(transaction.fields)` of the ed25519 scheme, cut out of its bytes, which takes less time."""
    return _DOMAIN + _SIGNED_FIELDS.sub(b"", transaction.canonical)


def sign(unsigned: Mapping[str, Any], key: keys.KeyPair) -> dict[str, Any]:
    """The JSON object of the signed transaction (ed25519). `unsigned` is in normal form and names the key's address."""
    return {
        **unsigned,
        "scheme": "ed25519",
        "public_key": key.public_key.hex(),
        "signature": key.sign(signing_message(unsigned)).hex(),
    }


def from_raw(raw: bytes, spec: ChainSpec, sender: str | None = None) -> dict[str, Any]:
    """The JSON object, as in a block, of the raw signed transaction that an Ethereum wallet sends.

    Args:
        sender: see `decode_raw`.

    Raises:
        RuleError: as `decode_raw` and `interpret`.
    """
    return _fields_of(ethereum.interpret(ethereum.decode_raw(raw, sender=sender), spec.token.address), raw)


def read_raw(raw: bytes, spec: ChainSpec) -> Transaction:
    """`read_transaction(from_raw(raw, spec))`, without checking again what was just written.

    Raises:
        InputError: `bad_chain_id`.
        RuleError: as `decode_raw` and `interpret`; `transaction_too_large`.
    """
    read = ethereum.decode_raw(raw)
    call = ethereum.interpret(read, spec.token.address)
    _require_chain_id(call.chain_id)
    fields = _fields_of(call, raw)
    whole = _text_of(fields)
    if len(whole) > MAX_TRANSACTION_BYTES:
        raise _too_large()
    return Transaction(
        id=read.id.hex(),
        type=call.type,
        chain_id=call.chain_id,
        nonce=call.nonce,
        sender=call.sender,
        recipient=call.recipient,
        amount=call.amount,
        fee=call.fee,
        owner=call.owner,
        fields=fields,
        canonical=whole,
    )


def _fields_of(call: ethereum.Call, raw: bytes) -> dict[str, Any]:
    fields = {
        "type": call.type,
        "chain_id": call.chain_id,
        "nonce": call.nonce,
        "sender": call.sender,
        "recipient": call.recipient,
        "amount": format_amount(call.amount),
        "fee": format_amount(call.fee),
        "scheme": "ethereum",
        "signature": raw.hex(),
    }
    return fields if call.owner is None else {**fields, "owner": call.owner}


def _text_of(fields: dict[str, Any]) -> bytes:
    """`canonical` of what `_fields_of` returns, in a third of the time: its texts have nothing to escape."""
    owner = f'"owner": "{fields["owner"]}", ' if "owner" in fields else ""
    return (
        f'{{"amount": "{fields["amount"]}", "chain_id": {fields["chain_id"]}, "fee": "{fields["fee"]}", '
        f'"nonce": {fields["nonce"]}, {owner}"recipient": "{fields["recipient"]}", "scheme": "{fields["scheme"]}", '
        f'"sender": "{fields["sender"]}", "signature": "{fields["signature"]}", "type": "{fields["type"]}"}}'
    ).encode()


def _require_chain_id(value: Any) -> None:
    if type(value) is not int or not 0 < value <= MAX_INTEGER:
        raise InputError("bad_chain_id", "chain_id must be a whole number from 1 to 2^53 - 1.", field="chain_id")


def _too_large() -> RuleError:
    return RuleError("transaction_too_large", f"A transaction may have {MAX_TRANSACTION_BYTES} bytes at most.")


def require_payee(address: str, spec: ChainSpec, *, field: str = "recipient") -> None:
    """Refuse the two addresses that have no key, the zero address and the token's own, as a recipient.

    Args:
        address: in normal form.

    Raises:
        RuleError: `bad_recipient`.
    """
    if address == ZERO_ADDRESS:
        raise RuleError("bad_recipient", f"{field} must not be the zero address: nobody has its key.", field=field)
    if address == spec.token.address:
        raise RuleError(
            "bad_recipient", f"{field} must not be the token's own address: nobody has its key.", field=field
        )


def check_chain(transaction: Transaction, spec: ChainSpec) -> None:
    """Refuse a transaction of another chain.

    Raises:
        RuleError: `wrong_chain_id`.
    """
    if transaction.chain_id != spec.chain_id:
        raise RuleError("wrong_chain_id", f"chain_id must be {spec.chain_id} on this chain.", field="chain_id")


def check_recipient(transaction: Transaction, spec: ChainSpec) -> None:
    """Refuse a transaction whose recipient (the spender, for approve) has no key.

    Raises:
        RuleError: `bad_recipient`.
    """
    require_payee(transaction.recipient, spec)


def check_signature(
    transaction: Transaction,
    spec: ChainSpec,
    sender: str | None = None,
    *,
    is_good: bool = False,
) -> None:
    """Refuse a transaction that its sender has not signed in full.

    Args:
        sender: what was recovered from the signature of the transaction with this id before. It is not recovered again,
            which saves most of the work; every field is still compared with the raw bytes. Only with the ethereum
            scheme, whose ids are hashes of signed bytes and signature together.
        is_good: the signature, of the ed25519 scheme, is known to be good.

    Raises:
        RuleError: `wrong_public_key`, `bad_signature`; with the ethereum scheme also as `from_raw`, and `fields_differ`
            if a field is not what the raw bytes say.
    """
    fields = transaction.fields
    signature = bytes.fromhex(fields["signature"])
    if fields["scheme"] == "ed25519":
        public_key = bytes.fromhex(fields["public_key"])
        if address_of_public_key(public_key) != transaction.sender:
            raise RuleError("wrong_public_key", "public_key is not the sender's.", field="public_key")
        if not is_good and not keys.verify(public_key, signing_message(fields), signature):
            raise RuleError("bad_signature", "The signature does not fit the transaction.", field="signature")
    elif from_raw(signature, spec, sender) != fields:
        raise RuleError("fields_differ", "A field differs from the raw transaction that was signed.", field="signature")


def _require_fields(value: dict[str, Any], kind: Any, scheme: Any) -> None:
    """Require exactly the fields of this type and scheme. If one of them is unknown, those that all have in common."""
    required = UNSIGNED | {"scheme", "signature"}
    if kind == "transfer_from":
        required |= {"owner"}
    if scheme == "ed25519":
        required |= {"public_key"}
    allowed = required if scheme == "ethereum" else required | {"data"}
    if not required <= value.keys():
        name = min(required - value.keys())
        raise ShapeError("missing_field", f"{name} is missing.", field=name)
    if value.keys() - allowed:
        name = min(value.keys() - allowed)
        shown = name if name in UNSIGNED | _SIGNATURE_FIELDS | {"data", "owner"} else None
        raise ShapeError("unknown_field", "A transaction has a field that it should not have.", field=shown)


def _require_hex(value: Any, code: InputCode, field: str, size: int | None) -> None:
    """Refuse what is not `size` bytes (any number but 0, for None) in lower-case hex."""
    if not isinstance(value, str) or not _HEX.fullmatch(value) or (size is not None and len(value) != 2 * size):
        length = f"{size} bytes" if size else "bytes"
        raise InputError(code, f"{field} must be {length} in lower-case hexadecimal.", field=field)
