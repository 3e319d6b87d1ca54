"""Chains whose spec names sealers: whose blocks are valid, and which rule the others break."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import sealing
from shared.chain_spec import spec_from_object
from shared.errors import RuleError
from shared.keys import KeyPair
from shared.proof import proof_hash
from shared.rules import rules_for
from tests.support.chains import START, Chain, Json, make_spec, seal_of, sealed, signed_header
from tests.support.keys import ALICE, BOB, CAROL, DAVE, MINER
from tests.vectors import freeze

VECTORS = json.loads((Path(freeze.__file__).parent / "sealed_headers.json").read_text())
SEALERS = [ALICE.address, BOB.address]


def sealed_chain(sealer: KeyPair | None = ALICE, **changes: Any) -> Chain:
    """A chain that Alice and Bob may seal."""
    return Chain(make_spec(**{"sealers": SEALERS, **changes}), sealer)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["header"]["index"]))
def test_a_sealed_header(vector: Json) -> None:
    key, header = KeyPair(bytes.fromhex(vector["seed"])), vector["header"]
    assert key.address == vector["address"]
    assert sealing.signing_message(header).hex() == vector["message"]
    unsigned = {name: value for name, value in header.items() if name not in sealing.SEALED_FIELDS}
    assert sealing.sign(unsigned, key) == header
    rules = rules_for(make_spec(sealers=[key.address]))
    for proof, digest in vector["hashes"].items():
        read = rules.read_header({**header, "proof": int(proof)})
        assert (read.hash, read.to_object()) == (digest, {**header, "proof": int(proof)})
        sealing.check_sealer(read, [key.address])
    assert len(vector["seal"]) == 64  # one SHA-256 input block
    assert proof_hash(seal_of(header), 100).hex() == vector["hashes"]["100"]


def test_every_sealer_may_seal_and_the_verifier_agrees() -> None:
    chain = sealed_chain(block_interval=10)
    for turn in range(8):
        chain.sealer = (ALICE, BOB)[turn % 2]
        block = chain.mine(chain.transfer(ALICE, CAROL, "1"))
        assert block.header.sealer == chain.sealer.public_key.hex()
    assert chain.verified().height == 9


def test_only_chains_with_sealers_have_the_fields_and_the_key() -> None:
    spec = make_spec()
    assert "sealers" not in spec.to_object()
    assert spec_from_object(spec.to_object()).hash == spec.hash
    named = make_spec(sealers=list(reversed(SEALERS)))
    assert named.to_object()["sealers"] == sorted(SEALERS, key=str.lower)
    assert named.hash == make_spec(sealers=SEALERS).hash != spec.hash
    chain = Chain(spec)
    assert chain.rejects(sealed(signed_header(chain.draft(), ALICE))) == "bad_block_fields"
    assert "sealer" not in chain.mine().header.to_object()


def test_a_key_that_is_no_sealer() -> None:
    assert sealed_chain(CAROL).rejects(sealed_chain(CAROL).draft()) == "sealer_not_allowed"


def test_no_sealer() -> None:
    assert sealed_chain().rejects(sealed_chain(None).draft()) == "sealer_missing"
    block = sealed_chain().draft()
    del block["sealer_signature"]
    assert sealed_chain().rejects(block) == "sealer_missing"


def test_the_signature_of_another_header() -> None:
    # g - 2 - 3 : 3 carries the signature of 2, and Bob's block that of Alice
    chain = sealed_chain()
    second = chain.mine().header
    assert chain.rejects(chain.draft(sealer_signature=second.sealer_signature)) == "sealer_signature_invalid"
    good = chain.draft()
    taken = {"sealer": BOB.public_key.hex(), "sealer_signature": good["sealer_signature"]}
    assert chain.rejects(chain.draft(**taken)) == "sealer_signature_invalid"


@pytest.mark.parametrize("name", sealing.SEALED_FIELDS)
@pytest.mark.parametrize("value", [None, 5, "", "ab", "AB" * 32, "zz" * 32, ["ab"], SEALERS[0]])
def test_fields_of_a_wrong_form(name: str, value: Any) -> None:
    chain = sealed_chain()
    assert chain.rejects({**chain.draft(), name: value}) == "bad_block_field"


def test_genesis_is_signed_by_nobody_and_work_is_still_needed() -> None:
    chain = sealed_chain()
    assert "sealer" not in chain.blocks[0]
    assert chain.rejects(chain.draft(proof_valid=False)) == "wrong_proof"


def test_a_template_is_signed_and_the_seal_commits_to_the_signature() -> None:
    chain = sealed_chain()
    template = chain.rules.template(chain.replay.window, [], MINER, START + 10, ALICE)
    assert template.seal == seal_of(template.fields) and len(template.seal) == 64
    chain.accept(sealed(template.fields))
    for key, code in ((None, "sealer_missing"), (DAVE, "sealer_not_allowed")):
        with pytest.raises(RuleError) as caught:
            chain.rules.template(chain.replay.window, [], MINER, START + 10, key)
        assert caught.value.code == code


def test_the_largest_sealed_block_fits_what_a_template_leaves_room_for() -> None:
    open_room, sealed_room = make_spec().room, make_spec(sealers=SEALERS).room
    chain = sealed_chain()
    fields = chain.draft()
    fields |= {"index": 2**53 - 1, "timestamp": 2**53 - 1, "proof": 2**53 - 1, "difficulty": 2**256 - 1}
    fields["transactions"] = []
    assert len(json.dumps(fields)) <= 512 + open_room - sealed_room


CHANGES = {
    "index": st.integers(2, 2**53 - 1),
    "timestamp": st.integers(0, 2**53 - 1),
    "previous_hash": st.binary(min_size=32, max_size=32).map(bytes.hex),
    "difficulty": st.integers(1, 2**256 - 1),
    "transactions_root": st.binary(min_size=32, max_size=32).map(bytes.hex),
    "sealer": st.sampled_from([BOB, CAROL]).map(lambda key: key.public_key.hex()),
    "sealer_signature": st.binary(min_size=64, max_size=64).map(bytes.hex),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_signature_is_good_for_one_header_only(data: st.DataObject) -> None:
    rules = rules_for(make_spec(sealers=SEALERS))
    drawn = {name: data.draw(values, name) for name, values in CHANGES.items() if not name.startswith("sealer")}
    header = {**sealing.sign(drawn, ALICE), "proof": data.draw(st.integers(0, 2**53 - 1), "proof")}
    sealing.check_sealer(rules.read_header(header), SEALERS)
    name = data.draw(st.sampled_from(sorted(CHANGES)), "changed")
    value = data.draw(CHANGES[name].filter(lambda value: value != header[name]), "to")
    with pytest.raises(RuleError) as caught:
        sealing.check_sealer(rules.read_header({**header, name: value}), SEALERS)
    assert caught.value.code in ("sealer_signature_invalid", "sealer_not_allowed")
    # The proof is not signed: it is found later, by somebody without the key.
    sealing.check_sealer(rules.read_header({**header, "proof": 7}), SEALERS)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, 40), min_size=1, max_size=10), st.integers(1, 40))
def test_only_the_keys_of_the_list_may_seal(numbers: set[int], who: int) -> None:
    keys = {number: KeyPair(bytes([number]) * 32) for number in numbers | {who}}
    spec = make_spec(sealers=[keys[number].address for number in sorted(numbers)])
    rules = rules_for(spec)
    genesis = rules.genesis().header
    drawn = {"index": 2, "timestamp": START, "previous_hash": genesis.hash, "difficulty": 256}
    header = sealing.sign({**drawn, "transactions_root": "00" * 32}, keys[who])
    read = rules.read_header({**header, "proof": sealed(header)["proof"]})
    if who in numbers:
        rules.check_header(read, [genesis], None)
    else:
        with pytest.raises(RuleError) as caught:
            rules.check_header(read, [genesis], None)
        assert caught.value.code == "sealer_not_allowed"


@pytest.mark.parametrize("value", [None, [], [["sealer"]], "sealer", 7])
@pytest.mark.parametrize("sealers", [[], SEALERS])
def test_what_is_no_object_is_no_header(value: Any, sealers: list[str]) -> None:
    with pytest.raises(RuleError) as caught:
        rules_for(make_spec(sealers=sealers) if sealers else make_spec()).read_header(value)
    assert caught.value.code == "bad_block_fields"
