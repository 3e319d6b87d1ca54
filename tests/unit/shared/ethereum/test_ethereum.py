"""Raw Ethereum transactions, against eth-account, eth-keys and frozen vectors."""

import json
import random
import sys
from typing import Any

import pytest
import rlp
from coincurve import PublicKey
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from services.system.programs import ROOT
from shared import erc20
from shared.errors import InputError, RuleError
from shared.ethereum import GAS, RawTransaction, address_of_private_key, decode_raw, interpret, sign_raw
from shared.ethereum.raw import _plain_items

VECTOR_FILE = json.loads((ROOT / "tests" / "vectors" / "ethereum_raw.json").read_text())
VECTORS: list[dict[str, Any]] = VECTOR_FILE["vectors"]
TOKEN: str = VECTOR_FILE["token"]
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
SENDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CHAIN = 847731
MAX = 2**256 - 1

vectors = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
envelopes = pytest.mark.parametrize("envelope", [0, 1, 2])


def rule_of(raw: bytes) -> str:
    with pytest.raises(RuleError) as caught:
        decode_raw(raw)
    return caught.value.code


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def build(envelope: int, **changes: Any) -> bytes:
    """A raw transaction signed by eth-keys; `changes` are RLP items that replace fields, before or after signing.

    Two of them are none: `high_s` signs with the other s, `extra` are items to append.
    """
    high_s, extra = changes.pop("high_s", False), changes.pop("extra", ())
    fields: dict[str, Any] = {} if envelope == 0 else {"chain_id": number(CHAIN)}
    fields["nonce"] = number(5)
    fields |= {"priority": number(3), "max": number(4)} if envelope == 2 else {"price": number(3)}
    fields |= {"gas": number(21000), "to": bytes.fromhex(BOB[2:]), "value": number(10), "input": b""}
    fields |= {} if envelope == 0 else {"access_list": []}
    fields |= {name: item for name, item in changes.items() if name in fields}
    items = list(fields.values())
    if envelope == 0:
        message = rlp.encode([*items, number(CHAIN), b"", b""])
    else:
        message = bytes([envelope]) + rlp.encode(items)
    signature = PrivateKey(KEY).sign_msg_hash(keccak(message))
    parity, s = (signature.v ^ 1, N - signature.s) if high_s else (signature.v, signature.s)
    seal = {"v": number(35 + 2 * CHAIN + parity if envelope == 0 else parity), "r": number(signature.r), "s": number(s)}
    seal |= {name: item for name, item in changes.items() if name in seal}
    assert set(changes) <= set(fields) | set(seal), "a change that changes nothing"
    body = rlp.encode([*items, *seal.values(), *extra])
    return bytes(body) if envelope == 0 else bytes([envelope]) + body


# What is accepted


@vectors
def test_frozen_vector_decodes(vector: dict[str, Any]) -> None:
    tx = decode_raw(bytes.fromhex(vector["raw"]))
    decoded = tx._asdict()
    assert decoded.pop("raw").hex() == vector["raw"]
    assert decoded | {"input": tx.input.hex(), "id": tx.id.hex()} == vector["decoded"]


@vectors
def test_frozen_vector_means_its_call(vector: dict[str, Any]) -> None:
    decoded = vector["decoded"]
    shared_fields = {name: decoded[name] for name in ("chain_id", "nonce", "sender")}
    assert interpret(decode_raw(bytes.fromhex(vector["raw"])), TOKEN)._asdict() == vector["call"] | shared_fields


@vectors
def test_signing_gives_the_frozen_bytes(vector: dict[str, Any]) -> None:
    wanted = {"envelope", "chain_id", "nonce", "to", "value", "gas", "gas_price", "max_fee_per_gas"}
    fields = {name: value for name, value in vector["decoded"].items() if name in wanted}
    key = bytes.fromhex(vector["private_key"])
    signed = sign_raw(private_key=key, input=bytes.fromhex(vector["decoded"]["input"]), **fields)
    assert signed.hex() == vector["raw"]
    assert address_of_private_key(key) == vector["decoded"]["sender"]


def test_fifty_random_transactions_agree_with_eth_account() -> None:
    draw = random.Random(155)
    for i in range(50):
        account = Account.from_key(draw.randbytes(32))
        fields: dict[str, Any] = {
            "nonce": draw.randrange(2 ** draw.choice([1, 8, 63])),
            "gas": draw.randrange(21000, 2 ** draw.choice([16, 32, 64])),
            "to": Account.from_key(draw.randbytes(32)).address,
            "value": draw.randrange(2 ** draw.choice([1, 64, 256])),
            "data": draw.randbytes(draw.choice([0, 1, 55, 56, 300])),
            "chainId": draw.choice([1, CHAIN, 2**40]),
        }
        price = draw.randrange(2 ** draw.choice([1, 32, 200]))
        if i % 3 == 2:
            fields |= {"type": 2, "maxPriorityFeePerGas": price, "maxFeePerGas": price + draw.randrange(2**32)}
        else:
            fields |= {"gasPrice": price} | ({"type": 1, "accessList": []} if i % 3 else {})
        signed = account.sign_transaction(fields)
        tx = decode_raw(bytes(signed.raw_transaction))
        assert (tx.sender, tx.id, tx.v, tx.r, tx.s) == (account.address, signed.hash, signed.v, signed.r, signed.s)
        assert (tx.envelope, tx.chain_id, tx.gas_price) == (i % 3, fields["chainId"], price)
        assert (tx.nonce, tx.gas, tx.to, tx.value, tx.input) == tuple(
            fields[name] for name in ("nonce", "gas", "to", "value", "data")
        )


@settings(deadline=None)
@given(data=st.data())
def test_signed_fields_come_back(data: st.DataObject) -> None:
    key = data.draw(st.integers(1, N - 1)).to_bytes(32, "big")
    envelope = data.draw(st.sampled_from([0, 1, 2]))
    price = data.draw(st.integers(0, MAX))
    fields: dict[str, Any] = {
        "chain_id": data.draw(st.integers(1, 2**64)),
        "nonce": data.draw(st.integers(0, 2**64 - 2)),
        "to": Account.from_key(data.draw(st.integers(1, N - 1)).to_bytes(32, "big")).address,
        "value": data.draw(st.integers(0, MAX)),
        "gas": data.draw(st.integers(0, 2**64 - 1)),
        "input": data.draw(st.binary(max_size=300)),
        "max_fee_per_gas": data.draw(st.integers(price, MAX)) if envelope == 2 else None,
    }
    raw = sign_raw(private_key=key, envelope=envelope, gas_price=price, **fields)
    tx = decode_raw(raw)
    assert {name: getattr(tx, name) for name in fields} == fields
    assert (tx.envelope, tx.gas_price, tx.sender) == (envelope, price, address_of_private_key(key))
    assert (tx.raw, tx.id) == (raw, keccak(raw))
    assert Account.recover_transaction(raw) == tx.sender


# What is refused: encoding


# Items of a list, in their encoding or in one that is none: too long a form, or more bytes announced than follow.
PIECES = [
    b"\x00", b"\x7f", b"\x80", b"\x81\x80", b"\x81\x7f", b"\x83abc", b"\x83ab", b"\xb7" + bytes(55),
    b"\xb8\x38" + bytes(56), b"\xb8\x37" + bytes(55), b"\xb8\xff" + bytes(254), b"\xb8",
    b"\xb9\x01\x00" + bytes(256), b"\xc0", b"\xc1\x01", b"\xf8",
]  # fmt: skip


@settings(deadline=None, max_examples=1000)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=8), cut=st.integers(-1, 1), long=st.booleans())
def test_what_is_read_in_one_pass_is_what_the_library_reads(pieces: list[bytes], cut: int, long: bool) -> None:
    payload = b"".join(pieces)
    size = max(0, len(payload) + cut)
    is_long = size < 256 and (long or size > 55)
    body = (bytes([0xF8, size]) if is_long else bytes([0xC0 + min(size, 63)])) + payload
    try:
        expected = rlp.decode(body)
    except rlp.DecodingError:
        expected = None
    assert _plain_items(body) in (None, expected)


@envelopes
def test_what_wallets_send_is_read_in_one_pass(envelope: int) -> None:
    for raw in (build(envelope), build(envelope, input=bytes(68))):
        assert _plain_items(raw if envelope == 0 else raw[1:]) is not None


@envelopes
def test_valid_before_any_change(envelope: int) -> None:
    assert decode_raw(build(envelope)).sender == SENDER


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xbf" + bytes(9), b"\xc0", b"\xc1", b"\x01", b"\x02\x80", b"\x02\xc0"])
def test_fragments_are_malformed(raw: bytes) -> None:
    assert rule_of(raw) == "malformed_transaction"


@pytest.mark.parametrize("first", [0, 3, 4, 5, 0x7F])
def test_other_types_are_unsupported(first: int) -> None:
    assert rule_of(bytes([first]) + build(2)[1:]) == "unsupported_type"


@envelopes
def test_trailing_bytes_are_malformed(envelope: int) -> None:
    assert rule_of(build(envelope) + b"\0") == "malformed_transaction"


@envelopes
@pytest.mark.parametrize("cut", [1, 2, 40])
def test_truncated_is_malformed(envelope: int, cut: int) -> None:
    assert rule_of(build(envelope)[:-cut]) == "malformed_transaction"


@envelopes
def test_one_field_more_is_malformed(envelope: int) -> None:
    assert rule_of(build(envelope, extra=(b"\x01",))) == "malformed_transaction"


@envelopes
def test_one_field_less_is_malformed(envelope: int) -> None:
    raw = build(envelope)
    body = raw if envelope == 0 else raw[1:]
    shorter = rlp.encode(rlp.decode(body)[:-1])
    assert rule_of(shorter if envelope == 0 else bytes([envelope]) + shorter) == "malformed_transaction"


@envelopes
@pytest.mark.parametrize("name", ["nonce", "gas", "value", "v", "r", "s"])
def test_leading_zeros_are_malformed(envelope: int, name: str) -> None:
    assert rule_of(build(envelope, **{name: b"\0\x01"})) == "malformed_transaction"


@envelopes
@pytest.mark.parametrize("name", ["nonce", "gas", "to", "value", "input", "v", "r", "s"])
def test_list_in_place_of_a_string_is_malformed(envelope: int, name: str) -> None:
    assert rule_of(build(envelope, **{name: []})) == "malformed_transaction"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (b"\x05", b"\x81\x05"),  # a byte below 0x80 is its own encoding
        (b"\x82\x52\x08", b"\xb8\x02\x52\x08"),  # a length below 56 belongs in the first byte
        (b"\x82\x52\x08", b"\xb9\x00\x02\x52\x08"),  # a length has no leading zeros
    ],
)
def test_longer_spellings_of_a_field_are_malformed(short: bytes, long: bytes) -> None:
    items = [rlp.encode(item) for item in rlp.decode(build(1)[1:])]
    items[items.index(short)] = long
    payload = b"".join(items)
    assert rule_of(b"\x01\xf8" + bytes([len(payload)]) + payload) == "malformed_transaction"


def test_longer_spelling_of_the_list_is_malformed() -> None:
    raw = build(0)
    assert raw[0] == 0xF8
    assert rule_of(b"\xf9\0" + raw[1:]) == "malformed_transaction"


def test_lists_nested_too_deep_are_malformed() -> None:
    body = b"\xc0"
    while len(body) < 8000:
        body = rlp.codec.length_prefix(len(body), 0xC0) + body
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # as in a node; libraries of the tests raise it
    try:
        with pytest.raises(RecursionError):
            rlp.decode(body)
        assert rule_of(body) == rule_of(b"\x02" + body) == "malformed_transaction"
    finally:
        sys.setrecursionlimit(limit)


def test_too_many_bytes_are_refused_before_they_are_read() -> None:
    assert rule_of(build(2, input=bytes(8192))) == "transaction_too_large"
    assert len(decode_raw(build(2, input=bytes(8000))).input) == 8000


@envelopes
@pytest.mark.parametrize("name", ["value", "r", "s", "v"])
def test_numbers_from_2_to_the_256_are_too_large(envelope: int, name: str) -> None:
    assert rule_of(build(envelope, **{name: number(MAX + 1)})) == "number_too_large"


@pytest.mark.parametrize(("envelope", "name"), [(0, "price"), (1, "price"), (2, "priority"), (2, "max")])
def test_prices_from_2_to_the_256_are_too_large(envelope: int, name: str) -> None:
    assert rule_of(build(envelope, **{name: number(MAX + 1)})) == "number_too_large"


# What is refused: fields


@envelopes
def test_bounds_of_nonce_and_gas_limit(envelope: int) -> None:
    assert decode_raw(build(envelope, nonce=number(2**64 - 2), gas=number(2**64 - 1))).nonce == 2**64 - 2
    assert rule_of(build(envelope, nonce=number(2**64 - 1))) == "nonce_too_high"
    assert rule_of(build(envelope, gas=number(2**64))) == "gas_limit_too_large"


@envelopes
def test_contract_creation(envelope: int) -> None:
    assert rule_of(build(envelope, to=b"")) == "contract_creation"


@envelopes
@pytest.mark.parametrize("size", [1, 19, 21, 32])
def test_recipient_of_another_length_is_malformed(envelope: int, size: int) -> None:
    assert rule_of(build(envelope, to=b"\x11" * size)) == "malformed_transaction"


@pytest.mark.parametrize("envelope", [1, 2])
def test_access_list_not_empty(envelope: int) -> None:
    assert rule_of(build(envelope, access_list=[[bytes(20), []]])) == "access_list_not_empty"
    assert rule_of(build(envelope, access_list=b"")) == "malformed_transaction"


def test_priority_above_max() -> None:
    assert rule_of(build(2, priority=number(5), max=number(4))) == "priority_above_max"
    assert decode_raw(build(2, priority=number(4), max=number(4))).gas_price == 4


# What is refused: signatures


@pytest.mark.parametrize("v", [27, 28])
def test_legacy_without_chain_is_unprotected(v: int) -> None:
    assert rule_of(build(0, v=number(v))) == "unprotected_transaction"


@pytest.mark.parametrize(("envelope", "v"), [(0, 0), (0, 1), (0, 29), (0, 34), (1, 2), (2, 27), (2, MAX)])
def test_impossible_v_is_a_bad_signature(envelope: int, v: int) -> None:
    assert rule_of(build(envelope, v=number(v))) == "bad_signature"


@envelopes
@pytest.mark.parametrize("name", ["r", "s"])
@pytest.mark.parametrize("value", [0, N, MAX])
def test_r_or_s_out_of_range_is_a_bad_signature(envelope: int, name: str, value: int) -> None:
    assert rule_of(build(envelope, **{name: number(value)})) == "bad_signature"


@envelopes
def test_r_that_is_on_no_curve_point_is_a_bad_signature(envelope: int) -> None:
    assert rule_of(build(envelope, r=number(5))) == "bad_signature"  # 5^3 + 7 has no square root mod p


@pytest.mark.parametrize("envelope", [1, 2])
def test_recovery_from_x_above_the_order_is_a_bad_signature(envelope: int) -> None:
    # libsecp256k1 takes 2 and 3 for points whose x is r + N; with a small r, some key is always found.
    recoverable = 0
    for r in range(1, 20):
        raw = build(envelope, v=number(2), r=number(r))
        assert rule_of(raw) == "bad_signature"
        signature = r.to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x02"
        try:
            PublicKey.from_signature_and_message(signature, bytes(31) + b"\1", hasher=None)
        except ValueError:
            continue
        recoverable += 1
    assert recoverable > 0


@envelopes
def test_high_s_would_be_a_second_id(envelope: int) -> None:
    raw = build(envelope, high_s=True)
    assert Account.recover_transaction(raw) == SENDER, "the twin must be a valid signature of the same sender"
    assert rule_of(raw) == "high_s"
    assert rule_of(build(envelope, s=number(N // 2 + 1))) == "high_s"


# Hostile bytes


@vectors
def test_no_changed_byte_is_accepted_as_the_same_sender(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["raw"])
    original = decode_raw(raw)
    for position in range(len(raw)):
        for flip in (0x01, 0x02, 0x10, 0x80, 0xFF, raw[position]):
            changed = bytearray(raw)
            changed[position] ^= flip
            if changed != raw:
                check_unrelated(bytes(changed), original)
        check_unrelated(raw[:position] + raw[position + 1 :], original)
        check_unrelated(raw[:position] + b"\0" + raw[position:], original)


def check_unrelated(raw: bytes, original: RawTransaction) -> None:
    try:
        tx = decode_raw(raw)
    except RuleError:
        return
    assert tx.id == keccak(raw) != original.id
    assert tx.sender != original.sender
    body = raw if tx.envelope == 0 else raw[1:]
    assert rlp.encode(rlp.decode(body)) == body, "accepted in an encoding that is not the canonical one"


items = st.recursive(st.binary(max_size=40), lambda inner: st.lists(inner, max_size=13), max_leaves=20)


@settings(deadline=None, max_examples=400)
@given(
    st.binary(max_size=300)
    | st.tuples(st.sampled_from([b"", b"\x01", b"\x02"]), items).map(lambda drawn: drawn[0] + rlp.encode(drawn[1]))
)
def test_any_bytes_decode_or_break_a_rule(raw: bytes) -> None:
    try:
        interpret(decode_raw(raw), TOKEN)
    except RuleError as error:
        assert error.code and error.message


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_spliced_transactions_decode_or_break_a_rule(data: st.DataObject) -> None:
    first, second = (bytes.fromhex(data.draw(st.sampled_from(VECTORS))["raw"]) for _ in range(2))
    head = first[: data.draw(st.integers(0, len(first)))]
    tail = second[data.draw(st.integers(0, len(second))) :]
    try:
        tx = decode_raw(head + data.draw(st.binary(max_size=4)) + tail)
    except RuleError:
        return
    assert tx.id == keccak(tx.raw)


# What a transaction means


def signed(**changes: Any) -> RawTransaction:
    fields: dict[str, Any] = {"chain_id": CHAIN, "nonce": 0, "to": BOB, "gas": 100_000, "gas_price": 3}
    return decode_raw(sign_raw(private_key=KEY, **fields | changes))


def rule_of_call(**changes: Any) -> str:
    tx = signed(**changes)
    with pytest.raises(RuleError) as caught:
        interpret(tx, TOKEN)
    return caught.value.code


CALLS: dict[str, dict[str, Any]] = {
    "transfer": {"to": BOB},
    "token_transfer": {"to": TOKEN, "input": erc20.encode_transfer(BOB, 1)},
    "approve": {"to": TOKEN, "input": erc20.encode_approve(BOB, 1)},
    "transfer_from": {"to": TOKEN, "input": erc20.encode_transfer_from(SENDER, BOB, 1)},
}


@pytest.mark.parametrize("kind", CALLS)
def test_gas_limit_must_cover_the_gas_used(kind: str) -> None:
    used = GAS[kind]
    call = interpret(signed(gas=used, **CALLS[kind]), TOKEN)
    assert (call.gas_used, call.fee) == (used, 3 * used)
    assert rule_of_call(gas=20_999, **CALLS[kind]) == "intrinsic_gas_too_low"
    if kind != "transfer":
        assert rule_of_call(gas=used - 1, **CALLS[kind]) == "gas_too_low"
        assert rule_of_call(gas=21_000, **CALLS[kind]) == "gas_too_low"


@pytest.mark.parametrize("kind", CALLS)
def test_fee_is_for_the_gas_used_and_not_the_limit(kind: str) -> None:
    assert interpret(signed(gas=2**64 - 1, **CALLS[kind]), TOKEN).fee == 3 * GAS[kind]


def test_fee_must_be_an_amount() -> None:
    highest = MAX // 21_000
    assert interpret(signed(gas_price=highest), TOKEN).fee <= MAX
    assert rule_of_call(gas_price=highest + 1) == "fee_too_high"


def test_max_fee_is_not_what_is_paid() -> None:
    assert interpret(signed(max_fee_per_gas=10**12), TOKEN).fee == 63_000


def test_token_takes_no_value() -> None:
    assert rule_of_call(**CALLS["approve"], value=1) == "token_takes_no_value"


@pytest.mark.parametrize("value", [0, 1])
def test_plain_transfer_to_the_token_is_bad_call_data(value: int) -> None:
    assert rule_of_call(to=TOKEN, value=value) == "bad_call_data"


def test_call_data_is_read_strictly() -> None:
    assert rule_of_call(to=TOKEN, input=erc20.encode_transfer(BOB, 1) + b"\0") == "bad_call_data"
    assert rule_of_call(to=TOKEN, input=b"\xde\xad\xbe\xef") == "unknown_selector"
    assert rule_of_call(to=TOKEN, input=erc20.TOTAL_SUPPLY) == "read_only_call"


@pytest.mark.parametrize("data", [b"\0", erc20.encode_transfer(BOB, 1)])
def test_call_data_for_another_address_finds_no_contract(data: bytes) -> None:
    assert rule_of_call(to=BOB, input=data) == "no_such_contract"


# Keys


@pytest.mark.parametrize("key", [b"", b"\x01", bytes(32), N.to_bytes(32, "big"), b"\xff" * 32, b"\x01" * 33])
def test_bad_private_key(key: bytes) -> None:
    fields: dict[str, Any] = {"chain_id": CHAIN, "nonce": 0, "to": BOB, "gas": 21_000, "gas_price": 1}
    for use in (lambda: address_of_private_key(key), lambda: sign_raw(private_key=key, **fields)):
        with pytest.raises(InputError) as caught:
            use()
        assert caught.value.code == "bad_private_key"
