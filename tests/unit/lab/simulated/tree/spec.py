"""Chain specs of the tests here: a block a second at 1,000 hashes a second."""

from typing import Any

from shared.chain_spec import ChainSpec


def make_spec(**fields: Any) -> ChainSpec:
    return ChainSpec(**{"name": "lab", "chain_id": 7, "genesis_timestamp": 10**6, "difficulty": 1000, **fields})


SPEC = make_spec()
