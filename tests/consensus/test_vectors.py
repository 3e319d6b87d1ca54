"""The frozen vectors are what an independent calculation gives, and what `shared/` gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.block import Header
from shared.canonical import canonical
from shared.chain_spec import read_spec
from shared.difficulty import next_difficulty
from shared.ed25519 import is_signed
from shared.errors import RuleError, TooEarly
from shared.hashing import sha256
from shared.keys import KeyPair, verify
from shared.ledger import Account, Entries, Ledger, touched
from shared.merkle import leaf_hash
from shared.proof import accepts, proof_hash
from shared.reward import read_reward
from shared.rules import rules_for
from shared.rules.standard import StandardRules
from shared.transaction import check_signature, read_transaction, sign, signing_message
from tests.support.chains import make_spec, seal_of, sealed
from tests.vectors import freeze

VECTORS = Path(freeze.__file__).parent


def load(name: str) -> list[dict[str, Any]]:
    return list(json.loads((VECTORS / f"{name}.json").read_text()))


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("name", sorted(freeze.VECTORS))
def test_frozen_file_is_what_the_definitions_give(name: str) -> None:
    assert (VECTORS / f"{name}.json").read_text() == freeze.text(freeze.VECTORS[name]())


def test_every_frozen_file_is_written_by_the_script_or_tested_with_ethereum() -> None:
    frozen = {path.stem for path in VECTORS.glob("*.json") if not path.name.startswith("ethereum_")}
    # Beside them those of miners that are not trusted, which no block depends on: tests/unit/shared/test_shares.py.
    assert frozen == set(freeze.VECTORS) | {"shares"}


@pytest.mark.parametrize("vector", load("ed25519"), ids=named)
def test_ed25519(vector: dict[str, Any]) -> None:
    key, message, signature = (bytes.fromhex(vector[name]) for name in ("public_key", "message", "signature"))
    assert verify(key, message, signature) is vector["valid"]
    if (len(key), len(signature)) == (32, 64):  # as the rules have read them
        assert is_signed((key + signature).hex().encode() + message) is vector["valid"]


@pytest.mark.parametrize("vector", load("transactions"), ids=lambda v: v["unsigned"]["type"])
def test_transaction(vector: dict[str, Any]) -> None:
    key = KeyPair(bytes.fromhex(vector["seed"]))
    whole = sign(vector["unsigned"], key)
    assert signing_message(whole).hex() == vector["message"]
    assert whole["signature"] == vector["signature"]
    transaction = read_transaction(whole)
    assert transaction.id == vector["id"]
    assert leaf_hash(transaction.canonical).hex() == vector["leaf"]


@pytest.mark.parametrize("vector", load("recipients"), ids=named)
def test_recipient(vector: dict[str, Any]) -> None:
    spec = make_spec(chain_id=vector["chain_id"], token={"address": vector["token"]}, allocations={})
    whole = vector["transaction"]
    reward = whole["type"] == "reward"
    transaction = read_reward(whole) if reward else read_transaction(whole)
    if not reward:
        check_signature(transaction, spec)  # nothing else is wrong with it
    rich = Account(10**20, 0)
    known = Entries(
        {address: rich for address in touched([transaction]).accounts},
        {pair: 10**18 for pair in touched([transaction]).allowances},
    )
    ledger = Ledger(known)
    apply = ledger.reward if reward else ledger.apply
    if vector["rule"] is None:
        apply(transaction, spec)
        return
    with pytest.raises(RuleError) as caught:
        apply(transaction, spec)
    assert caught.value.code == vector["rule"]
    change = ledger.change()
    assert not change.after.accounts and not change.after.allowances and change.after.supply == 0


@pytest.mark.parametrize("vector", load("timestamps"), ids=lambda v: f"{v['interval']}, {v['outcome']}")
def test_timestamp(vector: dict[str, Any]) -> None:
    spec = make_spec(block_interval=vector["interval"], difficulty=256)
    rules, times = StandardRules(spec), vector["timestamps"]
    window = [Header(i, time, "", 256, "", 0, "ab" * 32) for i, time in enumerate(times, start=1)]
    fields: dict[str, Any] = {"index": len(times) + 1, "timestamp": vector["timestamp"], "previous_hash": "ab" * 32}
    fields |= {"difficulty": next_difficulty(window, spec), "transactions_root": "cd" * 32}
    header = rules.read_header(sealed(fields, fields["difficulty"]))
    try:
        rules.check_header(header, window, vector["now"])
        outcome = "valid"
    except TooEarly:
        outcome = "too_early"
        rules.check_header(header, window, None)
    except RuleError as error:
        outcome = error.code
    assert outcome == vector["outcome"]


@pytest.mark.parametrize(
    "vector", load("headers"), ids=lambda v: f"{v['header']['difficulty']}, {v['header']['proof']}"[-30:]
)
def test_header(vector: dict[str, Any]) -> None:
    header = StandardRules(make_spec()).read_header(vector["header"])
    assert header.hash == vector["hash"]
    seal = seal_of(vector["header"])
    assert seal.decode() == vector["seal"] and len(seal) == 64
    assert proof_hash(seal, header.proof).hex() == vector["hash"]
    assert accepts(seal, header.difficulty, header.proof) is vector["valid"]


@pytest.mark.parametrize("vector", load("genesis"), ids=named)
def test_genesis(vector: dict[str, Any]) -> None:
    spec = read_spec((freeze.SPECS / f"{vector['name']}.toml").read_text())
    assert spec.to_object() == vector["spec"]
    assert spec.hash == vector["spec_hash"] == sha256(canonical(vector["spec"])).hex()
    genesis = rules_for(spec).genesis()
    assert genesis.hash == vector["hash"]
    assert genesis.canonical == canonical(vector["genesis"])


@pytest.mark.parametrize("vector", load("difficulty"), ids=named)
def test_difficulty(vector: dict[str, Any]) -> None:
    spec = make_spec(block_interval=vector["interval"], difficulty=vector["spec_difficulty"])
    window = [
        Header(vector["first_index"] + i, timestamp, "", difficulty, "", 0, "")
        for i, (timestamp, difficulty) in enumerate(zip(vector["timestamps"], vector["difficulties"], strict=True))
    ]
    assert next_difficulty(window, spec) == vector["next"]
