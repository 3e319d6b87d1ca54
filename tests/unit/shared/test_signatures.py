"""All signatures of a block, as they are checked beside a replay."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared import sealing
from shared.block import Block, Header
from shared.canonical import canonical
from shared.rules import rules_for
from shared.signatures import answer_to, questions_of
from shared.transaction import message_of, recalled, sign, signing_message
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
    names, [question] = questions_of([Block(header, (), b"")])
    assert names == [header.hash]
    assert question == (header.sealer + header.sealer_signature).encode() + message
    assert answer_to(question) is False


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.one_of(
        st.none(),
        st.text(max_size=60),
        # What looks like the fields that are cut out.
        st.lists(
            st.sampled_from(
                ['"scheme": "ed25519", ', '"signature": "', "00", '", ', '"public_key": ""', "\\", '"', ", ", "\n", "é"]
            )
        ).map("".join),
    ),
    st.sampled_from(["transfer", "approve", "transfer_from"]),
)
def test_the_message_that_is_cut_out_is_the_canonical_one(data: str | None, kind: str) -> None:
    fields: dict[str, Any] = {"type": kind, "chain_id": 1, "nonce": 0, "amount": "1", "fee": "0"}
    fields |= {"sender": ALICE.address, "recipient": BOB.address}
    fields |= {"owner": BOB.address} if kind == "transfer_from" else {}
    fields |= {} if data is None else {"data": data}
    whole = sign(fields, ALICE)
    assert message_of(recalled(whole, "", canonical(whole))) == signing_message(whole) == signing_message(fields)


def test_every_signature_of_a_block_is_checked() -> None:
    chain = Chain(make_spec(sealers=[ALICE.address]), ALICE)
    block = chain.mine(chain.transfer(ALICE, BOB, "1"), chain.from_wallet(BOB.address))
    names, questions = questions_of([block])
    assert names == [block.hash, block.transactions[1].canonical, block.transactions[2].canonical]
    assert [answer_to(question) for question in questions] == [True, True, WALLET]
    assert questions_of([block, block]) == (2 * names, 2 * questions)

    def answers(transaction: dict[str, Any] | None = None, **changed: object) -> list[bool | str]:
        """Of the same block with other fields, and another transaction in the place of one."""
        fields = {**json.loads(block.canonical), **changed}
        body = fields["transactions"]
        if transaction is not None:
            body[1 if transaction["scheme"] == "ed25519" else 2] = transaction
        value = chain.draft(body=body)
        value |= {name: fields[name] for name in ("index", "timestamp", "sealer", "sealer_signature", "previous_hash")}
        return [answer_to(question) for question in questions_of([rules_for(chain.spec).read_block(value)])[1]]

    _, transfer, raw = json.loads(block.canonical)["transactions"]
    other = "00" + block.header.sealer_signature[2:]
    assert answers()[1:] == [True, WALLET]
    assert answers(sealer_signature=other)[0] is answers(timestamp=block.header.timestamp + 1)[0] is False
    assert answers(sealer=BOB.public_key.hex())[0] is False
    assert answers({**transfer, "nonce": 7})[1:] == [False, WALLET]
    assert answers({**transfer, "public_key": BOB.public_key.hex()})[1:] == [False, WALLET]
    assert answers({**raw, "signature": "00"})[1:] == [True, False]


def test_an_open_block_has_no_seal_to_check() -> None:
    chain = Chain()
    assert questions_of([chain.mine()]) == ([], [])
