"""Blocks with chosen contents and a real proof, for peers that lie."""

import itertools
from collections.abc import Sequence
from typing import Any

from shared import merkle, proof
from shared.canonical import canonical
from shared.hashing import sha256

Json = dict[str, Any]


def root_of(transactions: Sequence[Any]) -> str:
    """The root, hex, of transactions as JSON objects, valid or not."""
    return merkle.root([merkle.leaf_hash(canonical(item)) for item in transactions]).hex()


def seal_of(block: Json) -> bytes:
    """What the proof is appended to: of a block with or without one."""
    header = {name: value for name, value in block.items() if name not in ("transactions", "proof")}
    return sha256(canonical(header)).hex().encode()


def sealed(block: Json, difficulty: int, *, valid: bool = True) -> Json:
    """`block` with the smallest proof that meets `difficulty`, or with `valid` False that does not."""
    seal = seal_of(block)
    found = next(number for number in itertools.count() if proof.accepts(seal, difficulty, number) is valid)
    return {**block, "proof": found}


def hash_of(block: Json) -> str:
    """The hash, hex, of a block that has a proof."""
    return proof.proof_hash(seal_of(block), block["proof"]).hex()
