"""RFC 6962 Merkle tree: one hash that commits to every transaction of a block, and short proofs of inclusion.

Leaves and nodes are hashed with different first bytes, so a node cannot pass as a leaf.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.hashing import sha256


def leaf_hash(data: bytes) -> bytes:
    """The leaf of one transaction. `data` is its canonical bytes, signature included."""
    return sha256(b"\x00" + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """The parent of two subtrees (32 bytes each)."""
    return sha256(b"\x01" + left + right)


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of leaf hashes; of no leaves, SHA-256 of nothing."""
    if not leaves:
        return sha256(b"")
    level = leaves
    while len(level) > 1:
        level = _above(level)
    return level[0]


def _above(level: Sequence[bytes]) -> list[bytes]:
    """The level above: each pair becomes its parent, and an odd last node moves up unchanged.

    RFC 6962 splits at the largest power of two below the number of leaves. Pairing level by level gives the same tree
    without recursion.
    """
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return paired + list(level[2 * len(paired) :])


@dataclass(frozen=True, slots=True)
class Step:
    """One sibling on the way from a leaf to the root."""

    side: Literal["left", "right"]  # on which side of the path the sibling is
    hash: bytes


def branch(leaves: Sequence[bytes], position: int) -> list[Step]:
    """The siblings that lead from leaf `position` (from 0) to the root, lowest first."""
    steps: list[Step] = []
    level = leaves
    while len(level) > 1:
        sibling = position ^ 1
        if sibling < len(level):  # an odd last node has none at this level
            steps.append(Step("left" if sibling < position else "right", level[sibling]))
        level = _above(level)
        position //= 2
    return steps


def follow(leaf: bytes, steps: Sequence[Step]) -> bytes:
    """The root that `leaf` and its branch lead to."""
    value = leaf
    for step in steps:
        value = node_hash(step.hash, value) if step.side == "left" else node_hash(value, step.hash)
    return value
