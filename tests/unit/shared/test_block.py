"""Blocks, headers and templates: what is hashed, what is measured."""

import hashlib
from typing import Any

import pytest

from shared.block import Template
from shared.canonical import canonical
from shared.proof import MAX_PROOF
from shared.wire import parse
from tests.support.chains import START, Chain, seal_of
from tests.support.keys import ALICE, BOB, MINER


@pytest.fixture(scope="module")
def block() -> dict[str, Any]:
    chain = Chain()
    return chain.draft(chain.transfer(ALICE, BOB, "1", data="Grüße"))


def test_header_is_the_block_without_its_transactions(block: dict[str, Any]) -> None:
    rules = Chain().rules
    read = rules.read_block(block)
    without = {name: value for name, value in block.items() if name != "transactions"}
    assert read.header.to_object() == without
    assert rules.read_header(without) == read.header
    assert (read.index, read.hash) == (2, read.header.hash)


def test_hash_is_that_of_seal_and_decimal_proof(block: dict[str, Any]) -> None:
    digest = hashlib.sha256(seal_of(block) + str(block["proof"]).encode()).hexdigest()
    assert Chain().rules.read_block(block).hash == digest
    assert digest.startswith("00")  # difficulty 256


def test_every_field_of_the_header_changes_the_hash(block: dict[str, Any]) -> None:
    rules = Chain().rules
    header = rules.read_block(block).header.to_object()
    changes = [{name: header[name] + 1} for name in ("index", "timestamp", "difficulty", "proof")]
    changes += [{name: "ab" * 32} for name in ("previous_hash", "transactions_root")]
    hashes = {rules.read_header({**header, **change}).hash for change in changes}
    assert len(hashes - {rules.read_header(header).hash}) == 6


def test_size_is_that_of_the_bytes_which_are_served(block: dict[str, Any]) -> None:
    read = Chain().rules.read_block(block)
    assert read.canonical == canonical(block) and read.size == len(canonical(block))
    assert parse(read.canonical) == block


def test_order_of_fields_in_the_json_does_not_matter(block: dict[str, Any]) -> None:
    turned = dict(reversed(block.items()))
    assert list(turned) != list(block)
    assert Chain().rules.read_block(turned) == Chain().rules.read_block(block)


def test_genesis() -> None:
    chain = Chain()
    genesis = chain.rules.genesis()
    assert genesis.header.previous_hash == chain.spec.hash
    assert (genesis.index, genesis.header.proof, genesis.transactions) == (1, 100, ())
    assert genesis.canonical == canonical(chain.blocks[0])
    assert chain.rules.read_block(chain.blocks[0]) == genesis == chain.rules.adopt_genesis(chain.blocks[0])
    assert chain.rules.may_begin_with(genesis.hash) and not chain.rules.may_begin_with("0" * 64)


def test_a_template_lacks_only_its_proof() -> None:
    chain = Chain()
    template = chain.rules.template(chain.replay.window, [], MINER, START + 7.9)
    assert (template.index, template.previous_hash, template.difficulty) == (2, chain.rules.genesis().hash, 256)
    assert template.fields["timestamp"] == START + 7
    assert template.seal == seal_of(template.with_proof(0))
    assert template.with_proof(5) == {**template.fields, "proof": 5} and "proof" not in template.fields
    assert template.size() == len(canonical(template.with_proof(MAX_PROOF)))
    assert isinstance(template, Template)
