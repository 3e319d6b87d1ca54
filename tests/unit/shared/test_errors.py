"""Refusals have one base class, and every code that is raised is listed where the class is."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from api.cli.chain.anchor_proof import FORMAT, BadAnchor, verify
from api.errors import CODES, HttpCode, HttpRefusal, describe
from services.errors import Busy, PolicyCode, PolicyError
from services.system.programs import ROOT
from shared import wire
from shared.chain_spec import ChainSpec
from shared.errors import InputCode, InputError, NodeError, Refusal, RuleCode, RuleError, ShapeError
from shared.rules import rules_for
from tests.support.chains import Chain, Json, reward_fields
from tests.support.keys import ALICE, BOB

ROOMS = ("shared", "services", "worker", "api")
LISTS = {
    "RuleError": RuleCode,
    "InputError": InputCode,
    "ShapeError": InputCode,
    "PolicyError": PolicyCode,
    "Busy": PolicyCode,
    "HttpRefusal": HttpCode,
    "problem": HttpCode,
}
TUTORIAL = ChainSpec(name="lesson", chain_id=9, genesis_timestamp=0, rules="tutorial", development=True, difficulty=1)


def files() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def literals() -> Iterator[tuple[Any, str, str]]:
    """The list, code and place of every text that stands where a code is given."""
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LISTS:
                given = node.args[node.func.id in ("HttpRefusal", "problem") :][:1]
                if given and isinstance(given[0], ast.Constant):
                    yield LISTS[node.func.id], given[0].value, f"{path}:{node.lineno}"


def texts() -> set[str]:
    """Every text in the code but the lists themselves."""
    found = set()
    for path in files():
        tree = ast.parse(path.read_text())
        lists = [node for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
        listed = {id(item) for node in lists for item in ast.walk(node.slice)}
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in listed
        }
    return found


def test_every_code_that_is_raised_is_listed() -> None:
    found = list(literals())
    assert len(found) > 150
    for codes, code, place in found:
        assert code in get_args(codes), place


def test_every_code_that_is_listed_is_raised() -> None:
    used = texts() | {f"unknown_{kind}" for kind in ("address", "token")}  # pages make theirs from the kind
    assert not CODES - used


def test_codes_are_listed_once_each_and_written_alike() -> None:
    for codes in (RuleCode, InputCode, PolicyCode, HttpCode):
        names = get_args(codes)
        assert len(names) == len(set(names))
        assert all(name.isascii() and name.replace("_", "").isalpha() and name.islower() for name in names)
    assert set(get_args(RuleCode)).isdisjoint(get_args(PolicyCode))


def test_a_malformed_request_has_broken_no_rule() -> None:
    assert not issubclass(InputError, RuleError) and not issubclass(RuleError, InputError)
    for kind in (RuleError, InputError, ShapeError, PolicyError, Busy, HttpRefusal):
        assert issubclass(kind, Refusal) and issubclass(kind, NodeError)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuleError("nonce_too_low", "x", field="nonce"), 400),
        (InputError("bad_nonce", "x", field="nonce"), 400),
        (InputError("bad_nonce", "x", field="nonce").in_block(), 400),
        (ShapeError("unknown_field", "x", field="nonce"), 422),
        (ShapeError("unknown_field", "x", field="nonce").in_block(), 400),
        (PolicyError("nonce_too_far", "x", field="nonce"), 400),
        (Busy("mempool_full", "x", field="nonce"), 503),
        (Busy("contended", "x", field="nonce"), 429),
    ],
)
def test_every_refusal_is_described_alike(error: Refusal, status: int) -> None:
    assert describe(error) == (status, error.code, "x", "nonce")
    assert (str(error), error.message) == ("x", "x")
    assert describe(HttpRefusal(415, "encoded_body", "y")) == (415, "encoded_body", "y", None)


# --- in a block, what is malformed breaks a rule: peers, audits and imports catch RuleError ---


def malformed(chain: Chain) -> Iterator[tuple[str, Json]]:
    payment = chain.transfer(ALICE, BOB, "1")
    for code, changes in {
        "bad_address": {"recipient": "0x1"},
        "bad_amount": {"amount": "01"},
        "bad_nonce": {"nonce": -1},
        "nonce_too_high": {"nonce": 2**64 - 1},
        "bad_chain_id": {"chain_id": 0},
        "bad_data": {"data": ""},
        "bad_signature": {"signature": "x"},
        "bad_public_key": {"public_key": "x"},
        "unknown_type": {"type": "burn"},
        "unknown_field": {"colour": "red"},
    }.items():
        yield code, chain.draft({**payment, **changes})
    yield "missing_field", chain.draft({name: item for name, item in payment.items() if name != "fee"})
    keyless = {name: item for name, item in payment.items() if name != "public_key"}
    yield "unknown_scheme", chain.draft({**keyless, "scheme": "rsa"})
    yield "not_an_object", chain.draft() | {"transactions": [reward_fields(chain), 1]}
    yield "bad_address", chain.draft(reward=reward_fields(chain, recipient="0x1"))
    yield "bad_amount", chain.draft(reward=reward_fields(chain, amount="01"))


def test_a_block_with_something_malformed_breaks_a_rule() -> None:
    chain = Chain()
    codes = []
    for code, block in malformed(chain):
        with pytest.raises(RuleError) as caught:
            chain.rules.read_block(block)
        assert caught.value.code == code
        codes.append(code)
    assert len(codes) == 15


def test_fees_that_no_amount_can_hold_break_a_rule() -> None:
    chain = Chain()
    most = "115792089237316195423570985008687907853269984665640564039457.584007913129639935"
    block = chain.rules.read_block(chain.draft(*(chain.transfer(ALICE, BOB, "0", fee=most, nonce=i) for i in (0, 1))))
    with pytest.raises(RuleError) as caught:
        chain.rules.check_body(block)
    assert caught.value.code == "bad_amount"


def test_a_tutorial_block_with_a_number_that_is_not_finite_breaks_a_rule() -> None:
    rules = rules_for(TUTORIAL)
    genesis = json.loads(rules.genesis().canonical)
    endless = {**genesis, "index": 2, "previous_hash": "0" * 64, "transactions": [{"amount": float("inf")}]}
    for read, value in (
        (rules.adopt_genesis, {**genesis, "note": float("nan")}),
        (rules.read_header, endless),
        (rules.read_block, endless),
    ):
        with pytest.raises(RuleError) as caught:
            read(value)
        assert caught.value.code == "not_finite"


def test_requests_are_refused_as_malformed() -> None:
    chain = Chain()
    payment = chain.transfer(ALICE, BOB, "1")
    for value, kind, code in (
        ({**payment, "nonce": -1}, InputError, "bad_nonce"),
        ({**payment, "colour": "red"}, ShapeError, "unknown_field"),
        (None, InputError, "not_an_object"),
    ):
        with pytest.raises(kind) as caught:
            chain.rules.read_request(value)
        assert caught.value.code == code
    with pytest.raises(InputError):
        wire.parse(b"{")


def test_a_proof_with_a_malformed_transaction_is_damaged() -> None:
    chain = Chain()
    payment = chain.transfer(ALICE, BOB, "1")
    proof = {"format": FORMAT, "spec": chain.spec.to_object(), "header": {}, "branch": [], "block": ""}
    for transaction in ({**payment, "nonce": -1}, {**payment, "colour": "red"}, 1):
        with pytest.raises(BadAnchor, match="The proof is damaged: "):
            verify(None, {**proof, "transaction": transaction})
