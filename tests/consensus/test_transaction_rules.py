"""Blocks with one transaction that is malformed or not signed by its sender. The rest of the block fits."""

from typing import Any

import pytest

from shared.erc20 import encode_transfer
from shared.transaction import MAX_TRANSACTION_BYTES, signing_message
from tests.support.chains import WALLET, Chain, Json, plus_one_unit
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.specs import CHAIN_ID

# Every field, with another valid value.
OTHER = {
    "type": "approve",
    "chain_id": CHAIN_ID + 1,
    "nonce": 7,
    "recipient": CAROL.address,
    "amount": "2",
    "fee": "0.1",
    "data": "another memo",
}


def paid(chain: Chain, **changes: Any) -> Json:
    """A good payment with `changes` that it was signed with."""
    return chain.transfer(ALICE, BOB, "1", **changes)


def test_both_schemes_and_all_types_are_accepted(chain: Chain) -> None:
    nonce = chain.nonce(ALICE.address)
    chain.mine(
        paid(chain, data="Grüße 😀"),
        chain.approve(ALICE, BOB, "3", nonce=nonce + 1, fee="0.001"),
        chain.transfer_from(BOB, ALICE, CAROL, "2"),
        chain.from_wallet(BOB.address, value=10**18),
        chain.from_wallet(chain.spec.token.address, input=encode_transfer(CAROL.address, 5), nonce=1, envelope=0),
    )
    state = chain.verified()
    assert state.accounts[WALLET].balance == 99 * 10**18 - 5 - 3 * (21_000 + 60_000)
    assert state.allowances[ALICE.address, BOB.address] == 10**18


@pytest.mark.parametrize("field", sorted(OTHER))
def test_bad_signature_when_any_field_is_changed_after_signing(chain: Chain, field: str) -> None:
    payment = paid(chain, data="memo")
    assert chain.rejects(chain.draft({**payment, field: OTHER[field]})) == "bad_signature"


def test_bad_signature_when_the_memo_is_taken_away(chain: Chain) -> None:
    payment = paid(chain, data="memo")
    del payment["data"]
    assert chain.rejects(chain.draft(payment)) == "bad_signature"


def test_bad_signature_of_another_message_or_plus_the_group_order(chain: Chain) -> None:
    payment = paid(chain)
    number = int.from_bytes(bytes.fromhex(payment["signature"])[32:], "little")
    order = 2**252 + 27742317777372353535851937790883648493
    above = payment["signature"][:64] + (number + order).to_bytes(32, "little").hex()
    for signature in (above, ALICE.sign(b"hi").hex(), "00" * 64):
        assert chain.rejects(chain.draft({**payment, "signature": signature})) == "bad_signature"


def test_bad_signature_without_the_domain_tag(chain: Chain) -> None:
    # What a key signs for another purpose must not be valid here.
    payment = paid(chain)
    bare = signing_message(payment).removeprefix(b"quarry-transaction:")
    assert chain.rejects(chain.draft({**payment, "signature": ALICE.sign(bare).hex()})) == "bad_signature"


def test_wrong_public_key(chain: Chain) -> None:
    # Bob signs with his own key, but in Alice's name.
    theft = chain.transfer(BOB, BOB, "1", sender=ALICE.address, nonce=chain.nonce(ALICE.address))
    assert chain.rejects(chain.draft(theft)) == "wrong_public_key"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("signature", lambda text: text[:-2]),
        ("signature", lambda text: text + "00"),
        ("signature", lambda text: text[:-1] + "G"),
        ("signature", str.upper),
        ("signature", lambda text: "0x" + text[2:]),
        ("signature", lambda text: ""),
        ("signature", lambda text: None),
        ("public_key", lambda text: text[:-2]),
        ("public_key", lambda text: text + "00"),
        ("public_key", lambda text: 5),
        ("public_key", str.upper),
    ],
)
def test_bad_hexadecimal(field: str, change: Any) -> None:
    chain = Chain()
    payment = paid(chain)
    assert chain.rejects(chain.draft({**payment, field: change(payment[field])})) == f"bad_{field}"


@pytest.mark.parametrize(
    "field",
    ["type", "chain_id", "nonce", "sender", "recipient", "amount", "fee", "scheme", "signature", "public_key", "owner"],
)
def test_missing_field(field: str) -> None:
    chain = Chain()
    chain.mine(chain.approve(ALICE, BOB, "5"))
    payment = chain.transfer_from(BOB, ALICE, CAROL, "1")
    del payment[field]
    # Missing fields are named before superfluous ones: without a type, the owner is superfluous.
    assert chain.rejects(chain.draft(payment)) == "missing_field"


@pytest.mark.parametrize("changes", [{"memo": "x"}, {"id": "0" * 64}, {"owner": ALICE.address}, {"gas": 1}], ids=str)
def test_unknown_field(chain: Chain, changes: Json) -> None:
    assert chain.rejects(chain.draft(paid(chain, **changes))) == "unknown_field"


def test_unknown_field_under_the_ethereum_scheme(chain: Chain) -> None:
    payment = chain.from_wallet(BOB.address, value=1)
    for more in ({"data": "memo"}, {"public_key": "00" * 32}, {"owner": ALICE.address}):
        assert chain.rejects(chain.draft({**payment, **more})) == "unknown_field"


@pytest.mark.parametrize("kind", ["mint", "", "Transfer", None, 1, ["transfer"]], ids=repr)
def test_unknown_type(kind: Any) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(paid(chain, type=kind))) == "unknown_type"


@pytest.mark.parametrize("scheme", ["rsa", "Ed25519", None, {}], ids=repr)
def test_unknown_scheme(scheme: Any) -> None:
    chain = Chain()
    payment = {**paid(chain), "scheme": scheme}
    del payment["public_key"]
    assert chain.rejects(chain.draft(payment)) == "unknown_scheme"


@pytest.mark.parametrize("nonce", [True, False, -1, 0.0, "0", None], ids=repr)
def test_bad_nonce(nonce: Any) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(paid(chain, nonce=nonce))) == "bad_nonce"


@pytest.mark.parametrize("nonce", [2**64 - 1, 2**64, 2**256])
def test_nonce_too_high(nonce: int) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(paid(chain, nonce=nonce))) == "nonce_too_high"


@pytest.mark.parametrize("chain_id", [True, 0, -1, float(CHAIN_ID), str(CHAIN_ID), None, 2**53], ids=repr)
def test_bad_chain_id(chain_id: Any) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(paid(chain, chain_id=chain_id))) == "bad_chain_id"


@pytest.mark.parametrize("field", ["amount", "fee"])
@pytest.mark.parametrize(
    "amount",
    [
        "1.0",
        "01",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1_000",
        " 7",
        "7\n",
        "\uff11\uff12",
        "",
        "0.0000000000000000001",
        1,
        1.5,
        True,
        None,
        str(2**256 // 10**18 + 1),
        "9" * 4000,
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_amount(field: str, amount: Any) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(paid(chain, **{field: amount}))) == "bad_amount"


@pytest.mark.parametrize("field", ["sender", "recipient", "owner"])
@pytest.mark.parametrize(
    "change", [str.lower, str.upper, str.swapcase, lambda a: a[2:], lambda a: a + "\n", lambda a: 0]
)
def test_bad_address(field: str, change: Any) -> None:
    chain = Chain()
    chain.mine(chain.approve(ALICE, BOB, "5"))
    payment = chain.transfer_from(BOB, ALICE, CAROL, "1")
    changed = chain.transfer_from(BOB, ALICE, CAROL, "1", **{field: change(payment[field])})
    assert chain.rejects(chain.draft(changed)) == "bad_address"


@pytest.mark.parametrize("data", ["", "nul \0", "half a pair \ud83d", 5, None, True, ["x"], {}], ids=ascii)
def test_bad_data(data: Any) -> None:
    chain = Chain()
    payment = {**paid(chain), "data": data}
    assert chain.rejects(chain.draft(payment)) == "bad_data"


@pytest.mark.parametrize("item", [None, [], "transaction", 5], ids=repr)
def test_not_an_object(item: Any) -> None:
    chain = Chain()
    assert chain.rejects(chain.draft(item)) == "not_an_object"


def test_transaction_too_large(chain: Chain) -> None:
    # A byte of memo is a byte of transaction, so the limit can be met exactly.
    bare = len(chain.rules.read_request(paid(chain, data="x")).canonical) - 1
    room = MAX_TRANSACTION_BYTES - bare
    assert chain.rejects(chain.draft(paid(chain, data="x" * (room + 1)))) == "transaction_too_large"
    chain.mine(paid(chain, data="x" * room))
    chain.verified()


def test_transaction_too_large_by_its_escapes(chain: Chain) -> None:
    # Each of these is two UTF-16 escapes of six bytes, although it is one character.
    assert chain.rejects(chain.draft(paid(chain, data="😀" * 700))) == "transaction_too_large"


@pytest.mark.parametrize("field", ["type", "chain_id", "nonce", "sender", "recipient", "amount", "fee"])
def test_fields_differ_from_the_raw_transaction(field: str) -> None:
    chain = Chain()
    payment = chain.from_wallet(BOB.address, value=10**18)
    value = {**OTHER, "sender": ALICE.address, "fee": plus_one_unit(payment["fee"])}[field]
    assert chain.rejects(chain.draft({**payment, field: value})) == "fields_differ"


def test_a_raw_transaction_that_breaks_its_own_rules_is_named(chain: Chain) -> None:
    payment = chain.from_wallet(BOB.address, value=1)
    assert chain.rejects(chain.draft({**payment, "signature": payment["signature"] + "00"})) == "malformed_transaction"
