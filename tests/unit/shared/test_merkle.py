"""RFC 6962 trees: every branch leads to the root, and nothing else does."""

import json
from typing import Any

import pytest

from services.system.programs import ROOT
from shared.hashing import sha256
from shared.merkle import Step, branch, follow, leaf_hash, node_hash, root

FROZEN = json.loads((ROOT / "tests" / "vectors" / "merkle.json").read_text())
SIZES = range(1, 71)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % i) for i in range(count)]


@pytest.mark.parametrize("vector", FROZEN, ids=lambda vector: str(len(vector["data"])))
def test_frozen(vector: dict[str, Any]) -> None:
    hashes = [leaf_hash(bytes.fromhex(data)) for data in vector["data"]]
    assert root(hashes).hex() == vector["root"]
    for position, steps in enumerate(vector["branches"]):
        assert [{"side": s.side, "hash": s.hash.hex()} for s in branch(hashes, position)] == steps


@pytest.mark.parametrize("count", SIZES)
def test_every_branch_leads_to_the_root(count: int) -> None:
    hashes = leaves(count)
    top = root(hashes)
    for position, leaf in enumerate(hashes):
        steps = branch(hashes, position)
        assert follow(leaf, steps) == top
        assert len(steps) <= (count - 1).bit_length()


@pytest.mark.parametrize("count", SIZES)
def test_a_branch_proves_one_leaf_only(count: int) -> None:
    hashes = leaves(count)
    top = root(hashes)
    for position in range(count):
        steps = branch(hashes, position)
        assert follow(leaf_hash(b"another"), steps) != top
        for i, step in enumerate(steps):
            turned = Step("left" if step.side == "right" else "right", step.hash)
            assert follow(hashes[position], [*steps[:i], turned, *steps[i + 1 :]]) != top
            assert follow(hashes[position], [*steps[:i], *steps[i + 1 :]]) != top


@pytest.mark.parametrize("count", range(2, 71))
def test_a_node_cannot_pass_as_a_leaf(count: int) -> None:
    # Without the first byte, the two children joined would be a "transaction" that is in the block.
    hashes = leaves(count)
    joined = hashes[0] + hashes[1]
    forged = branch(hashes, 0)[1:]
    assert follow(node_hash(*hashes[:2]), forged) == root(hashes)
    assert follow(leaf_hash(joined), forged) != root(hashes)


@pytest.mark.parametrize("count", SIZES)
def test_every_leaf_and_its_place_count(count: int) -> None:
    hashes = leaves(count)
    others = [hashes[:-1], [*hashes, hashes[-1]], [*hashes, leaf_hash(b"more")], [leaf_hash(b"other"), *hashes[1:]]]
    if count > 1:
        others.append([hashes[1], hashes[0], *hashes[2:]])
    assert root(hashes) not in [root(other) for other in others]


def test_of_nothing_and_of_one() -> None:
    assert root([]) == sha256(b"")
    assert root(leaves(1)) == leaves(1)[0] == sha256(b"\x000")
