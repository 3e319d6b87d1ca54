"""Chain specs: strict reading, one hash per chain. Built-in specs and their genesis: consensus/test_vectors."""

from typing import Any

import pytest

from shared.amounts import COIN, MAX_AMOUNT, format_amount
from shared.canonical import canonical
from shared.chain_spec import BadChainSpec, ChainSpec, read_spec, spec_from_object
from shared.rules import rules_for
from shared.wire import parse
from tests.vectors.freeze import SPECS

SMALL = {"name": "small", "chain_id": 5, "genesis_timestamp": 1767225600}
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
TUTORIAL = {"rules": "tutorial", "development": True}


def test_defaults_are_those_of_the_design() -> None:
    assert spec_from_object(SMALL).to_object() == {
        **SMALL,
        "development": False,
        "rules": "standard",
        "token": {
            "name": "Quarry",
            "symbol": "QRY",
            "decimals": 18,
            "address": "0x0000000000000000000000000000000000005eed",
        },
        "reward": "1",
        "allocations": {},
        "difficulty": 65536,
        "block_interval": 0,
        "max_block_bytes": 1048576,
        "max_block_transactions": 4000,
    }


@pytest.mark.parametrize(("name", "chain_id"), [("dev", 847731), ("network", 847732), ("tutorial", 847733)])
def test_built_in(name: str, chain_id: int) -> None:
    spec = read_spec((SPECS / f"{name}.toml").read_text())
    assert (spec.name, spec.chain_id) == (name, chain_id)
    assert spec.development == (name != "network")
    assert spec.block_interval == (10 if name == "network" else 0)
    assert sum(spec.allocations.values()) == (100_000 * COIN if name == "dev" else 0)


def test_a_served_spec_is_read_back_with_the_same_hash() -> None:
    # A peer's GET /spec, through JSON.
    spec = read_spec((SPECS / "dev.toml").read_text())
    served = parse(canonical(spec.to_object()))
    assert spec_from_object(served) == spec and spec_from_object(served).hash == spec.hash


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"chain_id": 6},
        {"genesis_timestamp": 1767225601},
        {"development": True},
        {"rules": "tutorial", "development": True},
        {"token": {"symbol": "QRZ"}},
        {"token": {"address": ADDRESS}},
        {"reward": "2"},
        {"allocations": {ADDRESS: "1"}},
        {"allocations": {ADDRESS: "0"}},
        {"difficulty": 65537},
        {"block_interval": 10},
        {"max_block_bytes": 2**20 + 1},
        {"max_block_transactions": 4001},
    ],
    ids=str,
)
def test_every_field_changes_the_hash_and_with_it_genesis(changes: dict[str, Any]) -> None:
    spec, other = spec_from_object(SMALL), spec_from_object({**SMALL, **changes})
    assert spec.hash != other.hash
    if other.rules == "standard":
        assert rules_for(spec).genesis().hash != rules_for(other).genesis().hash
        assert rules_for(other).genesis().header.previous_hash == other.hash


def test_spelling_does_not_change_the_hash() -> None:
    typed = {**SMALL, "allocations": {ADDRESS.lower(): "1"}, "reward": "1", "token": {"decimals": 18}}
    assert spec_from_object(typed).hash == spec_from_object({**SMALL, "allocations": {ADDRESS: "1"}}).hash


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown field": ({"colour": "red"}, "colour"),
    "name of capitals": ({"name": "Dev"}, "name"),
    "empty name": ({"name": ""}, "name"),
    "long name": ({"name": "a" * 33}, "name"),
    "name no text": ({"name": 5}, "name"),
    "unknown rules": ({"rules": "loose"}, "rules"),
    "development as number": ({"development": 1}, "development"),
    "chain id zero": ({"chain_id": 0}, "chain_id"),
    "chain id as text": ({"chain_id": "5"}, "chain_id"),
    "chain id a boolean": ({"chain_id": True}, "chain_id"),
    "chain id beyond doubles": ({"chain_id": 2**53}, "chain_id"),
    "time before 1970": ({"genesis_timestamp": -1}, "genesis_timestamp"),
    "time a float": ({"genesis_timestamp": 1.5}, "genesis_timestamp"),
    "difficulty zero": ({"difficulty": 0}, "difficulty"),
    "interval negative": ({"block_interval": -1}, "block_interval"),
    "blocks too small": ({"max_block_bytes": 100}, "max_block_bytes"),
    "no transactions": ({"max_block_transactions": 0}, "max_block_transactions"),
    "reward a number": ({"reward": 1}, "reward"),
    "reward not normal": ({"reward": "1.0"}, "reward"),
    "token not a table": ({"token": "QRY"}, "token"),
    "token with an unknown field": ({"token": {"supply": 1}}, "token"),
    "token decimals": ({"token": {"decimals": 6}}, "token.decimals"),
    "token decimals a boolean": ({"token": {"decimals": True}}, "token.decimals"),
    "token name empty": ({"token": {"name": ""}}, "token.name"),
    "token symbol with NUL": ({"token": {"symbol": "Q\0"}}, "token.symbol"),
    "token address": ({"token": {"address": "0x5eed"}}, "token.address"),
    "token at the zero address": ({"token": {"address": "0x" + "0" * 40}}, "token.address"),
    "allocation to the zero address": ({"allocations": {"0x" + "0" * 40: "1"}}, "allocations"),
    "allocation of nothing to the zero address": ({"allocations": {"0x" + "0" * 40: "0"}}, "allocations"),
    "allocation to the token": ({"allocations": {"0x" + "5eed".rjust(40, "0"): "1"}}, "allocations"),
    "allocation to a token elsewhere": ({"token": {"address": ADDRESS}, "allocations": {ADDRESS: "1"}}, "allocations"),
    "allocations no table": ({"allocations": [ADDRESS]}, "allocations"),
    "allocation to nobody": ({"allocations": {"0x12": "1"}}, "allocations"),
    "allocation mistyped": ({"allocations": {ADDRESS.replace("F", "f"): "1"}}, "allocations"),
    "allocation negative": ({"allocations": {ADDRESS: "-1"}}, "allocations"),
    "allocation a number": ({"allocations": {ADDRESS: 1}}, "allocations"),
    "one account twice": ({"allocations": {ADDRESS: "1", ADDRESS.lower(): "1"}}, "allocations"),
    "tutorial, not for development": ({"rules": "tutorial"}, "development"),
    "tutorial with balances": ({**TUTORIAL, "allocations": {ADDRESS: "1"}}, "allocations"),
    "tutorial with a reward of its own": ({**TUTORIAL, "reward": "2"}, "reward"),
    "tutorial with an interval": ({**TUTORIAL, "block_interval": 10}, "block_interval"),
    "more than 2^256": ({"allocations": {ADDRESS: format_amount(MAX_AMOUNT)}}, "allocations"),
}


@pytest.mark.parametrize(("changes", "field"), BAD.values(), ids=BAD.keys())
def test_bad_field_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadChainSpec, match=field):
        spec_from_object({**SMALL, **changes})


@pytest.mark.parametrize("field", SMALL)
def test_missing_field_is_named(field: str) -> None:
    with pytest.raises(BadChainSpec, match=field):
        spec_from_object({name: value for name, value in SMALL.items() if name != field})


def test_bad_toml_is_one_sentence() -> None:
    with pytest.raises(BadChainSpec, match="not valid TOML"):
        read_spec("name = ")


def test_supply_at_genesis_is_the_allocations() -> None:
    spec = spec_from_object({**SMALL, "allocations": {ADDRESS: "3"}})
    initial = rules_for(spec).initial()
    assert initial.supply == 3 * COIN and initial.accounts[ADDRESS].balance == 3 * COIN


def test_a_spec_is_frozen() -> None:
    with pytest.raises(AttributeError):
        spec_from_object(SMALL).chain_id = 6  # type: ignore[misc]  # the error is the point
    assert isinstance(spec_from_object(SMALL), ChainSpec)
