"""Chains of many small blocks, for tests of packing and pruning."""

import random
from typing import Any

from services.store.packing import PackStore
from tests.support.keys import ALICE, KEYS, MINER
from tests.support.nodes import TestNode


def grow(here: TestNode, blocks: int, seed: int = 0) -> None:
    """Blocks of zero to five transactions of all types."""
    rng, keys = random.Random(seed), KEYS[:6]
    for _ in range(blocks):
        nonces = {key.address: here.node.chain.account(key.address).nonce for key in keys}
        made = []
        for _ in range(rng.randint(0, 5)):
            key, other = rng.choice(keys), rng.choice(keys)
            fields: dict[str, Any] = {"recipient": other.address, "amount": "1"}
            if rng.random() < 0.3:
                fields["type"] = "approve"
            made.append(here.sign(key, nonces[key.address], **fields))
            nonces[key.address] += 1
        here.mine(*made, recipient=rng.choice([MINER, ALICE.address]))


def pack_all(here: TestNode, packs: PackStore | None = None, depth: int = 1) -> int:
    """Pack what lies so deep. Returns how many blocks there were."""
    done = 0
    while count := (packs or here.node.chain.packs).pack_next(depth, here.clock.now):
        done += count
    return done
