"""Bad transactions for `test_bad_input.py`: what is sent, and the status and code that must come back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.addresses import ZERO_ADDRESS, address_of_public_key
from shared.canonical import canonical
from shared.chain_spec import Token
from shared.ethereum import address_of_private_key, sign_raw
from shared.keys import KeyPair
from shared.transaction import MAX_TRANSACTION_BYTES, sign
from tests.support.http import Json
from tests.support.keys import ALICE, BOB
from tests.support.nodes import transfer
from tests.support.specs import CHAIN_ID
from tests.vectors.ed25519 import L

# Part of bad values wherever possible: an answer must not repeat it.
MARKER = "Zq7Marker"
SUBMIT = "/transactions/new"
# ALICE's nonce 0 is on the chain of the nodes that get these requests; her next is 1.
NEXT = 1
NO_MONEY = KeyPair(bytes([254]) * 32)
SIGNED = transfer(ALICE, NEXT)


@dataclass(frozen=True)
class Bad:
    """A bad request."""

    name: str
    status: int
    code: str
    method: str = "POST"
    path: str = SUBMIT
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    field: str | None = None  # that the problem must name


def _json(name: str, body: bytes | str, code: str, status: int = 400, field: str | None = None) -> Bad:
    data = body.encode() if isinstance(body, str) else body
    return Bad(name, status, code, body=data, headers={"Content_Type": "application/json"}, field=field)


def _fields(name: str, value: Any, code: str, status: int = 400, field: str | None = None) -> Bad:
    return _json(name, json.dumps(value), code, status, field)


def bad_texts() -> Iterator[Bad]:
    """Bodies that are not strict JSON."""
    good = json.dumps(SIGNED)

    def with_value(text: str) -> str:
        return good.replace('"amount": "1"', f'"amount": {text}')

    yield _json("no body", b"", "malformed_json")
    yield _json("cut short", good[:-1], "malformed_json")
    yield _json("something behind it", good + "x", "malformed_json")
    yield _json("two values", good + good, "malformed_json")
    yield _json("single quotes", "{'a': 1}", "malformed_json")
    yield _json("a comment", good + f"// {MARKER}", "malformed_json")
    yield _json("a byte order mark", b"\xef\xbb\xbf" + good.encode(), "malformed_json")
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        yield _json(encoding, good.encode(encoding), "malformed_json")
    yield _json("latin-1", good.replace('"0.001"', '"é"').encode("latin-1"), "malformed_json")
    yield _json("overlong UTF-8", good.encode().replace(b"0.001", b"\xc0\xaf"), "malformed_json")
    yield _json("a surrogate in UTF-8", good.encode().replace(b"0.001", b"\xed\xa0\x80"), "malformed_json")
    yield _json("a raw NUL", good.encode().replace(b"0.001", b"\x00"), "malformed_json")
    yield _json("a raw newline in a string", good.replace("0.001", "\n"), "malformed_json")
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "01",
        "+1",
        "1_000",
        ".5",
        "5.",
        "0x10",
        "\uff11\uff12",
        "True",
    ):
        yield _json(f"the value {text}", with_value(text), "malformed_json")
    for text in ("1.0", "0.5", "-0.0", "1e5", "1E5", "1e400", "5e-1"):
        yield _json(f"the value {text}", with_value(text), "float_refused", field=None)
    yield _json("5,000 digits", with_value("9" * 5000), "number_too_long")
    yield _json("5,000 digits, negative", with_value("-" + "9" * 5000), "number_too_long")
    yield _json("a key twice", good[:-1] + ', "fee": "0.001"}', "duplicate_key")
    yield _json("a key twice, deep inside", '{"data": [{"a": 1, "a": 1}]}', "duplicate_key")
    yield _json("depth 33", "[" * 33 + "]" * 33, "too_deep")
    yield _json("depth 33 of objects", '{"a":' * 33 + "1" + "}" * 33, "too_deep")
    yield _json("depth 100,000", "[" * 100_000 + "]" * 100_000, "too_deep")
    yield _json("depth 100,000 of objects", '{"a":' * 100_000 + "1" + "}" * 100_000, "too_deep")
    yield _json("depth 100,000, never closed", "[" * 100_000, "malformed_json")
    for text in (r"\ud800", r"\udc00x", r"\udc00\ud800", r"\u0000", rf"{MARKER}\u0000"):
        yield _json(f"the text {text}", good[:-1] + f', "data": "{text}"}}', "bad_text")
        yield _json(f"the key {text}", good[:-1] + f', "{text}": 1}}', "bad_text")
    for text in ("[]", "1", '"x"', "null", "true"):
        yield _json(f"no object but {text}", text, "not_an_object")


def bad_shapes() -> Iterator[Bad]:
    """Transactions with one wrong field. They are signed with it, so that nothing else is wrong."""
    for name in SIGNED:
        without = {key: value for key, value in SIGNED.items() if key != name}
        yield _fields(f"without {name}", without, "missing_field", 422, name)
        null = "unknown_field" if name == "scheme" else None  # then a public key is too many
        yield _fields(f"{name} null", SIGNED | {name: None}, *_null(name, null))
    yield _fields("an unknown field", SIGNED | {MARKER: 1}, "unknown_field", 422)
    yield _fields("an owner in a transfer", SIGNED | {"owner": BOB.address}, "unknown_field", 422, "owner")
    yield _fields("an id", SIGNED | {"id": "0" * 64}, "unknown_field", 422)
    yield _fields("no owner", transfer(ALICE, NEXT, type="transfer_from"), "missing_field", 422, "owner")
    kinds: list[Any] = ["reward", MARKER, "Transfer", 1, True, [], {}]
    for kind in kinds:
        yield _fields(f"type {kind}", transfer(ALICE, NEXT, type=kind), "unknown_type", field="type")
    yield _fields(
        "scheme", {k: v for k, v in SIGNED.items() if k != "public_key"} | {"scheme": MARKER}, "unknown_scheme"
    )
    for name in ("type", "scheme"):  # not even hashable
        yield _fields(f"{name} a list of lists", SIGNED | {name: [[MARKER]]}, *_null(name, "unknown_field"))
    for data in ("", 1, None, [MARKER], True):
        signed = SIGNED | {"data": data}
        yield _fields(f"data {data!r}", signed, "bad_data", field="data")


def _null(name: str, code: str | None) -> tuple[str, int, str | None]:
    if name == "scheme":
        return code or "unknown_field", 422, "public_key"
    codes = {"type": "unknown_type", "sender": "bad_address", "recipient": "bad_address", "fee": "bad_amount"}
    return codes.get(name, f"bad_{name}"), 400, name


def bad_numbers() -> Iterator[Bad]:
    """Amounts and nonces."""
    integers = (
        True,
        False,
        -1,
        2**256,
        "-1",
        "+1",
        "1_000",
        " 7",
        " 7\n",
        "7\n",
        "\uff11\uff12",
        "\u0663",
        "",
        "0x1",
        "1e5",
        "01",
    )
    texts = ("1.", ".5", "0.10", "1.0", "0." + "0" * 18 + "1", "1" * 80, str(2**256), "NaN", MARKER)
    others: list[Any] = [None, [], {}, ["1"]]
    for value in (*integers, *texts, *others):
        for name in ("amount", "fee"):
            bad = SIGNED | {name: value}
            yield _fields(f"{name} {_short(value)}", bad, "bad_amount", field=name)
    for value in (True, False, -1, "0", "1", None, [], MARKER):
        yield _fields(f"nonce {_short(value)}", transfer(ALICE, NEXT) | {"nonce": value}, "bad_nonce", field="nonce")
    for value in (True, 0, -1, 2**53, "4242", None):
        bad = SIGNED | {"chain_id": value}
        yield _fields(f"chain_id {_short(value)}", bad, "bad_chain_id", field="chain_id")
    for value in (2**64 - 1, 2**64, 2**256):
        bad = transfer(ALICE, value)
        yield _fields(f"nonce {_short(value)}", bad, "nonce_too_high", field="nonce")
    yield _fields("a used nonce, another payment", transfer(ALICE, 0, amount="2"), "nonce_too_low", field="nonce")
    yield _fields("a nonce too far ahead", transfer(ALICE, NEXT + 65), "nonce_too_far", field="nonce")
    yield _fields("the highest nonce", transfer(ALICE, 2**64 - 2), "nonce_too_far", field="nonce")
    yield _fields("another chain", transfer(ALICE, NEXT, chain_id=1), "wrong_chain_id", field="chain_id")
    yield _fields("more than there is", transfer(ALICE, NEXT, amount="2000"), "insufficient_funds", field="amount")
    yield _fields("an empty account", transfer(NO_MONEY, 0, amount="0"), "insufficient_funds")
    largest = "115792089237316195423570985008687907853269984665640564039457.584007913129639935"
    yield _fields("2^256 - 1 units", transfer(ALICE, NEXT, amount=largest), "insufficient_funds", field="amount")
    yield _fields("amount and fee over 2^256", transfer(ALICE, NEXT, amount=largest, fee=largest), "insufficient_funds")
    yield _fields("a fee below the node's", transfer(ALICE, NEXT, fee="0.00009"), "fee_too_low", field="fee")
    yield _fields("no fee", transfer(ALICE, NEXT, fee="0"), "fee_too_low", field="fee")
    spend = transfer(ALICE, NEXT, type="transfer_from", owner=BOB.address)
    yield _fields("no allowance", spend, "insufficient_allowance", field="amount")
    room = MAX_TRANSACTION_BYTES - len(canonical(transfer(ALICE, NEXT, data="x"))) + 2
    large = transfer(ALICE, NEXT, data="x" * room)
    assert len(canonical(large)) == MAX_TRANSACTION_BYTES + 1
    yield _fields("8,193 bytes", large, "transaction_too_large")
    # Each character is six bytes when it is hashed and two when it is sent.
    wide = json.dumps(transfer(ALICE, NEXT, data="é" * 2000), ensure_ascii=False).encode()
    yield _json("8,193 bytes once hashed", wide, "transaction_too_large")


def bad_addresses() -> Iterator[Bad]:
    for lost in (ZERO_ADDRESS, Token().address):
        for kind in ("transfer", "approve"):
            bad = transfer(ALICE, NEXT, type=kind, recipient=lost)
            yield _fields(f"{kind} to {lost[-4:]}", bad, "bad_recipient", field="recipient")
        pull = transfer(ALICE, NEXT, type="transfer_from", owner=BOB.address, recipient=lost)
        yield _fields(f"transfer_from to {lost[-4:]}", pull, "bad_recipient", field="recipient")
    good = BOB.address
    wrong = next(good[:i] + good[i].swapcase() + good[i + 1 :] for i in range(2, 42) if good[i].isalpha())
    for name in ("sender", "recipient"):
        yield _fields(f"{name} with a wrong checksum", SIGNED | {name: wrong}, "bad_checksum", field=name)
        for value in (
            good[2:],
            good[:-1],
            good + "0",
            "0X" + good[2:],
            good + "\n",
            " " + good,
            "0x" + "g" * 40,
            "0",
            "",
        ):
            yield _fields(f"{name} {value!r}", SIGNED | {name: value}, "bad_address", field=name)
        others: list[Any] = [1, True, [], {}, MARKER, "0x" + "\uff11" * 40]
        for other in others:
            yield _fields(f"{name} {other!r}", SIGNED | {name: other}, "bad_address", field=name)
    yield Bad("an address's checksum", 400, "bad_checksum", "GET", f"/accounts/{wrong}")
    for text in ("0x", good[2:], good + "%0A", good + "%00", MARKER, "%F0%9F", "0", "..", "%2e%2e"):
        yield Bad(f"the account {text}", 400, "bad_address", "GET", f"/accounts/{text}")


def bad_signatures() -> Iterator[Bad]:
    """Ed25519 and raw Ethereum transactions that other verifiers may accept."""

    def signed(**changes: Any) -> Json:
        return SIGNED | changes

    signature = bytes.fromhex(SIGNED["signature"])
    s = int.from_bytes(signature[32:], "little")
    plus_l = signature[:32] + (s + L).to_bytes(32, "little")
    yield _fields("S + L", signed(signature=plus_l.hex()), "bad_signature", field="signature")
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    yield _fields("a bit of R flipped", signed(signature=flipped.hex()), "bad_signature", field="signature")
    yield _fields("all zero", signed(signature="00" * 64), "bad_signature", field="signature")
    # The neutral element as key and R with S = 0 satisfies the equation for every message.
    for name, point in (
        ("the neutral element", b"\x01" + bytes(31)),
        ("order 4", bytes(32)),
        ("y + p", b"\xee" + b"\xff" * 30 + b"\x7f"),
    ):
        unsigned = {k: v for k, v in SIGNED.items() if k not in ("scheme", "public_key", "signature")}
        forged = {"scheme": "ed25519", "public_key": point.hex(), "signature": (b"\x01" + bytes(63)).hex()}
        yield _fields(
            f"a key of small order: {name}",
            unsigned | {"sender": address_of_public_key(point)} | forged,
            "bad_signature",
        )
    other = sign({k: v for k, v in SIGNED.items() if k not in ("scheme", "public_key", "signature")}, BOB)
    yield _fields("another's key", other, "wrong_public_key", field="public_key")
    yield _fields("another's signature", signed(signature=other["signature"]), "bad_signature", field="signature")
    yield _fields("another amount", signed(amount="2"), "bad_signature", field="signature")
    yield _fields("a memo put in", signed(data=MARKER), "bad_signature", field="signature")
    for name, size in (("signature", 128), ("public_key", 64)):
        text = SIGNED[name]
        for value in (
            text[:-2],
            text + "00",
            text[:-1],
            "",
            text.upper(),
            "0x" + text,
            text[:-1] + "g",
            text + "\n",
            1,
            None,
        ):
            yield _fields(f"{name} {_short(value)} of {size}", signed(**{name: value}), f"bad_{name}", field=name)
    key = bytes([7]) * 32
    raw = sign_raw(
        private_key=key, chain_id=CHAIN_ID, nonce=0, to=BOB.address, gas=21_000, gas_price=10**11, value=10**18
    )
    from_wallet = {
        "type": "transfer", "chain_id": CHAIN_ID, "nonce": 0, "sender": address_of_private_key(key),
        "recipient": BOB.address, "amount": "1", "fee": "0.0021", "scheme": "ethereum", "signature": raw.hex(),
    }  # fmt: skip
    yield _fields("ethereum: an empty account", from_wallet, "insufficient_funds")
    for name, value in {
        "amount": "2",
        "fee": "0.0022",
        "nonce": 1,
        "recipient": ALICE.address,
        "type": "approve",
    }.items():
        yield _fields(f"ethereum: another {name}", from_wallet | {name: value}, "fields_differ", field="signature")
    yield _fields("ethereum: trailing byte", from_wallet | {"signature": raw.hex() + "00"}, "malformed_transaction")
    yield _fields("ethereum: cut short", from_wallet | {"signature": raw.hex()[:-2]}, "malformed_transaction")
    yield _fields("ethereum: an unknown type", from_wallet | {"signature": "05" + raw.hex()[2:]}, "unsupported_type")
    yield _fields("ethereum: with data", from_wallet | {"data": MARKER}, "unknown_field", 422, "data")
    yield _fields("ethereum: 0x", from_wallet | {"signature": "0x" + raw.hex()}, "bad_signature", field="signature")
    yield _fields("ethereum: empty", from_wallet | {"signature": ""}, "bad_signature", field="signature")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 30 else f"{text[:8]}…({len(text)})"
