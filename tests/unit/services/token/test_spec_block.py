"""Block 0: the chain spec as Ethereum's tools are shown it."""

import hashlib

from services.token.spec_block import make_spec_block
from shared import erc20
from shared.addresses import ZERO_ADDRESS, checksummed
from shared.canonical import canonical
from shared.chain_spec import read_spec
from tests.support.chains import WALLET, make_spec
from tests.support.keys import ALICE, BOB, CAROL


def test_it_has_the_hash_that_genesis_names_as_its_parent() -> None:
    spec = make_spec()
    header = make_spec_block(spec).stored.header
    text = canonical(spec.to_object())
    assert header.hash == hashlib.sha256(text).hexdigest() == spec.hash
    assert (header.index, header.previous_hash, header.timestamp) == (0, "0" * 64, spec.genesis_timestamp)
    assert header.transactions_root == hashlib.sha256(b"\0" + text).hexdigest()  # RFC 6962: of one leaf, the spec
    assert (header.difficulty, header.proof, make_spec_block(spec).stored.chainwork) == (0, 0, 0)
    assert make_spec_block(spec).stored.size == len(text)


def test_its_one_transaction_has_the_allocations_as_events() -> None:
    spec = make_spec(allocations={BOB.address: "3", ALICE.address: "0.5", CAROL.address: "0", WALLET: "7"})
    block = make_spec_block(spec)
    (executed,) = block.transactions
    tag = b"quarry-allocations:"
    assert executed.transaction.id == hashlib.sha256(tag + bytes.fromhex(spec.hash)).hexdigest()
    amounts = {BOB.address: 3 * 10**18, ALICE.address: 5 * 10**17, WALLET: 7 * 10**18}  # none for nothing
    given = [(checksummed(event.log.topics[2][12:]), event.log) for event in executed.events]
    assert [address for address, _ in given] == sorted(amounts)
    for address, log in given:
        assert log == erc20.transfer_log(spec.token.address, ZERO_ADDRESS, address, amounts[address])
    assert [(event.log_index, event.position) for event in executed.events] == [(0, 0), (1, 0), (2, 0)]
    assert {event.transaction_id for event in executed.events} == {executed.transaction.id}
    assert block.bloom == erc20.bloom(event.log for event in executed.events)
    assert block.stored.transactions == 1


def test_the_order_of_a_specs_file_does_not_matter() -> None:
    head = 'name = "a"\nchain_id = 5\ngenesis_timestamp = 9\n[allocations]\n'
    lines = [f'{address} = "{number}"\n' for number, address in enumerate((ALICE.address, WALLET, BOB.address), 1)]
    one, other = (read_spec(head + "".join(order)) for order in (lines, lines[::-1]))
    assert one.hash == other.hash and list(one.allocations) != list(other.allocations)
    assert make_spec_block(one) == make_spec_block(other)


def test_without_allocations_it_has_a_transaction_without_events() -> None:
    block = make_spec_block(make_spec(allocations={}))
    assert [item.events for item in block.transactions] == [()] and block.bloom == bytes(256)
