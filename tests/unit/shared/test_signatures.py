"""All signatures of a block, as they are checked beside a replay."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared import keys, sealing
from shared.block import Header
from shared.ethereum import decode_raw
from shared.signatures import signatures_of
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
    assert sealing.message_of(header) == sealing.signing_message(header.to_object())


def test_every_signature_of_a_block_is_named() -> None:
    chain = Chain(make_spec(sealers=[ALICE.address]), ALICE)
    block = chain.mine(chain.transfer(ALICE, BOB, "1"), chain.from_wallet(BOB.address))
    seal, transfer, raw = signatures_of(block)
    for item, public_key in ((seal, ALICE.public_key), (transfer, ALICE.public_key)):
        assert len(item) == 3 and item[0] == public_key
        assert keys.verify(*item)
        assert not keys.verify(item[0], item[1] + b" ", item[2])
    assert len(raw) == 2 and raw[0] == block.transactions[2].id
    assert decode_raw(raw[1]).sender == WALLET


def test_an_open_block_has_no_seal_to_check() -> None:
    chain = Chain()
    assert signatures_of(chain.mine()) == []
