"""Chain specs for tests, in which blocks are cheap and many accounts have money."""

import json
from pathlib import Path
from typing import Any

from shared.chain_spec import ChainSpec, spec_from_object
from tests.support.clocks import START
from tests.support.keys import KEYS

CHAIN_ID = 4242
COIN = 10**18  # base units in a coin, written out: shared.amounts is tested too


def make_spec(**changes: Any) -> ChainSpec:
    """A spec under which any proof is valid, with 1,000 coins for each of the first 64 of KEYS.

    Its genesis block is 1,000 seconds older than the time that a `FakeClock` shows first.
    """
    fields = {
        "name": "test", "development": True, "chain_id": CHAIN_ID, "genesis_timestamp": START - 1000, "difficulty": 1,
        "allocations": {key.address: "1000" for key in KEYS[:64]},
    }  # fmt: skip
    return spec_from_object(fields | changes)


def mined_spec(allocations: dict[str, str] | None = None, **changes: Any) -> ChainSpec:
    """A spec for real workers: one proof in 64 is valid, and each of KEYS has 1,000 coins.

    Args:
        allocations: further accounts with money.
    """
    fields = {
        "genesis_timestamp": 1767225600, "difficulty": 64,
        "allocations": {key.address: "1000" for key in KEYS} | (allocations or {}),
    }  # fmt: skip
    return make_spec(**(fields | changes))


def write_spec(path: Path, spec: ChainSpec) -> Path:
    """The spec as a TOML file. Its strings and numbers are written in TOML as in JSON."""
    tables = {name: value for name, value in spec.to_object().items() if isinstance(value, dict)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in spec.to_object().items() if name not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines))
    return path
