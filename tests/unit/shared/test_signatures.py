"""All signatures of a block, as they are checked beside a replay."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from shared import sealing
from shared.block import Header
from shared.canonical import canonical
from shared.signatures import check_all, names_of
from tests.support.chains import WALLET, Chain, make_spec
from tests.support.keys import ALICE, BOB

hexadecimal = st.binary(min_size=32, max_size=32).map(bytes.hex)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.builds(
        Header,
        index=st.integers(1, 2**53 - 1), timestamp=st.integers(0, 2**53 - 1), previous_hash=hexadecimal,
        difficulty=st.integers(1, 2**256 - 1), transactions_root=hexadecimal, proof=st.integers(0, 2**53 - 1),
        hash=hexadecimal, sealer=hexadecimal, sealer_signature=st.binary(min_size=64, max_size=64).map(bytes.hex),
    )
)  # fmt: skip
def test_the_message_that_is_written_at_once_is_the_canonical_one(header: Header) -> None:
    message = sealing.signing_message(header.to_object())
    assert sealing.message_of(header) == message
    found = bytes.fromhex(header.sealer), message, bytes.fromhex(header.sealer_signature)
    # Whatever is in the body, also what looks like the header's fields.
    for body in ([], [{"sealer": "00" * 32, "transactions_root": "11" * 32, "data": '"sealer": "22", "scheme": '}]):
        text = canonical({**header.to_object(), "transactions": body})
        assert sealing.signed_in(text) == found
        assert check_all(text) == [False]


def test_every_signature_of_a_block_is_checked() -> None:
    chain = Chain(make_spec(sealers=[ALICE.address]), ALICE)
    block = chain.mine(chain.transfer(ALICE, BOB, "1"), chain.from_wallet(BOB.address))
    assert names_of(block) == [block.hash, block.transactions[1].canonical, block.transactions[2].canonical]
    assert check_all(block.canonical) == [True, True, WALLET]
    value = json.loads(block.canonical)
    assert sealing.signed_in(block.canonical) == (
        ALICE.public_key, sealing.message_of(block.header), bytes.fromhex(block.header.sealer_signature)
    )  # fmt: skip

    def answers(**changed: object) -> list[bool | str]:
        return check_all(canonical({**value, **changed}))

    reward, transfer, raw = value["transactions"]
    other = "00" + value["sealer_signature"][2:]
    assert answers(sealer_signature=other) == answers(timestamp=value["timestamp"] + 1) == [False, True, WALLET]
    assert answers(sealer=BOB.public_key.hex()) == [False, True, WALLET]
    assert answers(transactions=[reward, {**transfer, "nonce": 7}, raw]) == [True, False, WALLET]
    assert answers(transactions=[reward, transfer, {**raw, "signature": "00"}]) == [True, True, False]


def test_an_open_block_has_no_seal_to_check() -> None:
    chain = Chain()
    block = chain.mine()
    assert names_of(block) == check_all(block.canonical) == []
    assert sealing.signed_in(block.canonical) is None
