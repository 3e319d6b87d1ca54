"""Signatures of text, and raw transactions without one, against eth-account and geth's form."""

import pytest
import rlp
from eth_account import Account
from eth_account.messages import encode_defunct

from shared.errors import InputError
from shared.ethereum import ACCESS_LIST, DYNAMIC_FEE, LEGACY, Fields, personal_hash, sign_digest, unsigned_raw

KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.mark.parametrize("message", [b"", b"hello", b"\0" * 9, b"x" * 10, b"x" * 100_000, "\u00fc".encode()])
def test_messages_are_signed_as_by_eth_account(message: bytes) -> None:
    signed = Account.sign_message(encode_defunct(message), KEY)
    assert sign_digest(KEY, personal_hash(message)) == bytes(signed.signature)


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32])
def test_a_key_that_is_none(key: bytes) -> None:
    with pytest.raises(InputError):
        sign_digest(key, bytes(32))


@pytest.mark.parametrize("envelope", [LEGACY, ACCESS_LIST, DYNAMIC_FEE])
def test_a_raw_transaction_without_a_signature_ends_with_three_zeros(envelope: int) -> None:
    raw = unsigned_raw(Fields(5, 1, BOB, 21_000, 7, value=3, input=b"\x01", envelope=envelope, max_fee_per_gas=9))
    items = rlp.decode(raw if envelope == LEGACY else raw[1:])
    to = items.index(bytes.fromhex(BOB[2:]))
    assert items[to : to + 3] == [bytes.fromhex(BOB[2:]), b"\x03", b"\x01"]
    assert items[-3:] == [b"", b"", b""]
    assert [int.from_bytes(item, "big") for item in items[:to]] == {
        LEGACY: [1, 7, 21_000], ACCESS_LIST: [5, 1, 7, 21_000], DYNAMIC_FEE: [5, 1, 7, 9, 21_000],
    }[envelope]  # fmt: skip
