"""RFC 6962 Merkle tree: one hash that commits to every transaction of a block, and short proofs that one is in it.

Leaves and nodes are hashed with different first bytes, so a node can never be passed off as a leaf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.hashing import sha256


def leaf_hash(data: bytes) -> bytes:
    """The leaf of one transaction: `data` is its canonical whole, signature included."""
    return sha256(b"\x00" + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two subtrees (32 bytes each)."""
    return sha256(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """Merkle tree hash of leaf hashes; of none, SHA-256 of nothing.

    RFC 6962 splits at the largest power of two below n. Pairing level by level and carrying an odd last node upwards
    gives the same tree without recursion.
    """
    if not leaves:
        return sha256(b"")
    level = list(leaves)
    while len(level) > 1:
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
    return level[0]


@dataclass(frozen=True, slots=True)
class Step:
    """One sibling on the way from a leaf to the root."""

    side: Literal["left", "right"]  # on which side of the path the sibling stands
    hash: bytes


def branch(leaves: Sequence[bytes], position: int) -> list[Step]:
    """The siblings that lead from leaf `position` (from 0) to the root, lowest first."""
    steps: list[Step] = []
    level = list(leaves)
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):  # an odd last node has none at this level
            steps.append(Step("left" if sibling < position else "right", level[sibling]))
        paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) - len(level) % 2 :]
        position //= 2
    return steps


def follow(leaf: bytes, steps: Sequence[Step]) -> bytes:
    """The root that `leaf` and its branch lead to."""
    value = leaf
    for step in steps:
        value = node_hash(step.hash, value) if step.side == "left" else node_hash(value, step.hash)
    return value
