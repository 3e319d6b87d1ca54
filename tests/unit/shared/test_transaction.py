"""Transactions as people submit them: normalised, then verified. In blocks: consensus/test_transaction_rules."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.system.programs import ROOT
from shared.amounts import MAX_AMOUNT, format_amount
from shared.canonical import canonical
from shared.errors import InputError, Refusal, RuleError, ShapeError
from shared.ethereum import sign_raw
from shared.hashing import keccak256, sha256
from shared.reward import make_reward
from shared.transaction import (
    check_signature,
    from_raw,
    normalise,
    read_raw,
    read_transaction,
    recalled,
    sign,
    signing_message,
)
from shared.wire import parse
from tests.support.chains import WALLET, WALLET_KEY, Chain, make_spec
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.specs import CHAIN_ID

SPEC = make_spec()
PAYMENT: dict[str, Any] = {
    "type": "transfer",
    "chain_id": CHAIN_ID,
    "nonce": 0,
    "sender": ALICE.address,
    "recipient": BOB.address,
    "amount": "5",
    "fee": "0.25",
}


def rule_of(request: Any) -> str:
    with pytest.raises(Refusal) as caught:
        read_transaction(normalise(request))
    return caught.value.code


def test_a_request_is_normalised_and_the_signature_is_over_the_normal_form() -> None:
    signed = sign(PAYMENT, ALICE)
    typed = {**signed, "sender": ALICE.address.lower(), "recipient": "0x" + BOB.address[2:].upper(), "amount": 5}
    transaction = read_transaction(normalise(typed))
    assert transaction.fields == signed
    check_signature(transaction, SPEC)


def test_normalising_leaves_the_request_as_it_was() -> None:
    request = {**PAYMENT, "amount": 5}
    normalise(request)
    assert request["amount"] == 5


def test_the_normal_form_is_its_own_normal_form() -> None:
    signed = sign({**PAYMENT, "data": "memo"}, ALICE)
    assert normalise(signed) == signed


@pytest.mark.parametrize("amount", [-1, True, 2**256, 10**60, 1.5, "5.0", " 5", "1_000", "\uff15", None, [5]], ids=repr)
@pytest.mark.parametrize("field", ["amount", "fee"])
def test_bad_amount(field: str, amount: Any) -> None:
    assert rule_of(sign({**PAYMENT, field: amount}, ALICE)) == "bad_amount"


@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_bad_address_and_checksum(field: str) -> None:
    assert rule_of({**sign(PAYMENT, ALICE), field: "0x12"}) == "bad_address"
    assert rule_of({**sign(PAYMENT, ALICE), field: WALLET.swapcase().replace("X", "x")}) == "bad_checksum"


@pytest.mark.parametrize("request_", [None, [], "x", 5, True], ids=repr)
def test_not_an_object(request_: Any) -> None:
    assert rule_of(request_) == "not_an_object"


def test_shape_errors_are_told_from_bad_values() -> None:
    # 422 and 400 at the door
    signed = sign(PAYMENT, ALICE)
    for changed in ({**signed, "memo": "x"}, {name: signed[name] for name in signed if name != "fee"}):
        with pytest.raises(ShapeError):
            read_transaction(changed)
    with pytest.raises(InputError) as caught:
        read_transaction({**signed, "nonce": -1})
    assert not isinstance(caught.value, ShapeError) and caught.value.field == "nonce"


def test_an_unknown_field_is_not_echoed() -> None:
    with pytest.raises(ShapeError) as caught:
        read_transaction({**sign(PAYMENT, ALICE), "<script>": 1})
    assert "script" not in caught.value.message and caught.value.field is None


def test_id_is_the_hash_of_what_is_signed_and_does_not_depend_on_the_signature() -> None:
    signed = sign(PAYMENT, ALICE)
    expected = sha256(b"quarry-transaction:" + canonical(PAYMENT)).hex()
    assert read_transaction(signed).id == expected
    assert read_transaction({**signed, "signature": "00" * 64}).id == expected
    assert signing_message(signed) == signing_message(PAYMENT)


def test_id_of_a_raw_transaction_is_the_one_that_wallets_expect() -> None:
    fields = Chain().from_wallet(BOB.address, value=1)
    assert read_transaction(fields).id == keccak256(bytes.fromhex(fields["signature"])).hex()
    check_signature(read_transaction(fields), SPEC)


@pytest.mark.parametrize(
    ("kind", "more", "payer"),
    [
        ("transfer", {}, ALICE.address),
        ("approve", {}, None),
        ("transfer_from", {"owner": CAROL.address}, CAROL.address),
    ],
)
def test_who_pays(kind: str, more: dict[str, Any], payer: str | None) -> None:
    transaction = read_transaction(sign({**PAYMENT, **more, "type": kind}, ALICE))
    assert transaction.payer == payer
    assert transaction.size == len(canonical(transaction.fields))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    amount=st.integers(0, MAX_AMOUNT),
    fee=st.integers(0, MAX_AMOUNT),
    nonce=st.integers(0, 2**64 - 2),
    data=st.none()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=100),
)
def test_signed_sent_and_read_back(amount: int, fee: int, nonce: int, data: str | None) -> None:
    unsigned = {**PAYMENT, "amount": format_amount(amount), "fee": format_amount(fee), "nonce": nonce}
    signed = sign(unsigned if data is None else {**unsigned, "data": data}, ALICE)
    transaction = read_transaction(parse(canonical(signed)))
    assert (transaction.amount, transaction.fee, transaction.nonce) == (amount, fee, nonce)
    assert transaction.fields == signed
    check_signature(transaction, SPEC)


def test_every_bit_of_a_signature_counts() -> None:
    signed = sign(PAYMENT, ALICE)
    good = bytes.fromhex(signed["signature"])
    for bit in range(512):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        transaction = read_transaction({**signed, "signature": bad.hex()})
        with pytest.raises(RuleError) as caught:
            check_signature(transaction, SPEC)
        assert caught.value.code == "bad_signature"


def test_the_chain_of_a_request_is_checked_at_the_door() -> None:
    rules = Chain().rules
    with pytest.raises(RuleError) as caught:
        rules.read_request(sign({**PAYMENT, "chain_id": CHAIN_ID + 1}, ALICE))
    assert caught.value.code == "wrong_chain_id"
    with pytest.raises(RuleError) as caught:
        rules.read_request(sign(PAYMENT, BOB))
    assert caught.value.code == "wrong_public_key"


def test_what_is_recalled_is_what_was_read() -> None:
    """Of every kind: all that the ledger looks at comes back, though nothing is checked again."""
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("transfer", {"data": "é"}), ("approve", {"amount": "0"}), ("transfer_from", {"owner": CAROL.address}),
    ]  # fmt: skip
    known = [read_transaction(sign({**PAYMENT, **more, "type": kind}, ALICE)) for kind, more in kinds]
    known.append(read_transaction(Chain().from_wallet(BOB.address, value=1)))
    known.append(make_reward(CHAIN_ID, 7, ALICE.address, 10**18))
    for transaction in known:
        assert recalled(parse(transaction.canonical), transaction.id, transaction.canonical) == transaction


VECTORS = json.loads((ROOT / "tests" / "vectors" / "ethereum_raw.json").read_text())["vectors"]
RAW = {vector["name"]: bytes.fromhex(vector["raw"].removeprefix("0x")) for vector in VECTORS} | {
    f"chain {chain}": sign_raw(
        private_key=WALLET_KEY, chain_id=chain, nonce=2**64 - 2, to=BOB.address, gas=21_000, gas_price=1, value=1
    )
    for chain in (0, 1, 2**53 - 1, 2**53)
}


@pytest.mark.parametrize("name", RAW)
def test_a_raw_transaction_is_read_as_its_json_object_is(name: str) -> None:
    outcomes: list[Any] = []
    for read in (read_raw, lambda raw, spec: read_transaction(from_raw(raw, spec))):
        try:
            outcomes.append(read(RAW[name], SPEC))
        except Refusal as error:
            outcomes.append((type(error), error.code, error.message))
    assert outcomes[0] == outcomes[1]
    if not isinstance(outcomes[0], tuple):
        assert outcomes[0].canonical == canonical(outcomes[0].fields)
