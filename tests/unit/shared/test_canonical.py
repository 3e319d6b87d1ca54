"""Canonical bytes."""

import json
from typing import Any

import pytest

from services.system.programs import ROOT
from shared.canonical import canonical
from shared.hashing import keccak256, sha256
from shared.wire import parse

FROZEN = json.loads((ROOT / "tests" / "vectors" / "canonical.json").read_text())


@pytest.mark.parametrize("vector", FROZEN, ids=lambda vector: vector["sha256"][:8])
def test_frozen(vector: dict[str, Any]) -> None:
    assert canonical(vector["value"]).decode() == vector["canonical"]
    assert sha256(canonical(vector["value"])).hex() == vector["sha256"]
    assert parse(vector["canonical"].encode()) == vector["value"]


def test_order_of_keys_does_not_matter_order_of_items_does() -> None:
    assert canonical({"b": 1, "a": 2}) == canonical({"a": 2, "b": 1})
    assert canonical([1, 2]) != canonical([2, 1])


def test_hash_functions_are_those_of_bitcoin_and_ethereum() -> None:
    # FIPS 180-4 "abc"; Keccak-256 of nothing, as every Ethereum account without code shows it
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
