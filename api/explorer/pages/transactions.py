"""The page of a transaction: where it is, and the Merkle branch that shows that it is in its block."""

from dataclasses import dataclass
from typing import Any

from api.representations import block_fields, represent_transaction
from services.chain.inclusion import inclusion_proof
from services.node import Node
from services.store.index import Location
from shared import merkle
from shared.canonical import canonical

_LEVEL, _NODE_WIDTH, _NODE_HEIGHT = 64, 176, 34
_LEFT, _RIGHT = 0, 204


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One hash of the drawn Merkle branch, in the units of the drawing."""

    x: int
    y: int
    hash: str
    label: str
    role: str  # path | sibling | root


@dataclass(frozen=True, slots=True)
class Tree:
    """A drawing of a Merkle branch: the root at the top, the transaction at the bottom."""

    nodes: tuple[TreeNode, ...]
    edges: tuple[tuple[int, int, int, int], ...]
    width: int
    height: int
    node_width: int = _NODE_WIDTH
    node_height: int = _NODE_HEIGHT


def transaction(node: Node, transaction_id: str) -> dict[str, Any] | None:
    """The content of the page of a transaction; None if the node does not know it."""
    found = represent_transaction(node, transaction_id)
    if found is None:
        return None
    stored = node.chain.header(found["block"]) if "block" in found else None
    # The tutorial's blocks have no root that a branch could lead to.
    inclusion = _inclusion(node, found) if stored and stored.header.transactions_root else None
    return {
        "tx": found,
        "stored": stored,
        "position": found.get("position"),
        "tree": _tree(inclusion) if inclusion else None,
        "steps": len(inclusion["branch"]) if inclusion else 0,
    }


def _inclusion(node: Node, found: dict[str, Any]) -> dict[str, Any]:
    place = Location(found["index"], found["position"], found["block"])
    return inclusion_proof(block_fields(node, place.block_hash), place, found["id"])


def _tree(inclusion: dict[str, Any]) -> Tree:
    """The drawing of a branch, made from the leaf up. Each hash is computed from the two below it."""
    steps = inclusion["branch"]
    height = len(steps) * _LEVEL + _NODE_HEIGHT
    value = merkle.leaf_hash(canonical(inclusion["transaction"]))
    nodes: list[TreeNode] = []
    edges: list[tuple[int, int, int, int]] = []
    middle = _NODE_WIDTH // 2
    for level, step in enumerate(steps):
        y = height - _NODE_HEIGHT - level * _LEVEL
        path_x, sibling_x = (_RIGHT, _LEFT) if step["side"] == "left" else (_LEFT, _RIGHT)
        label = "this transaction" if level == 0 else "computed"
        nodes.append(TreeNode(path_x, y, value.hex(), label, "path"))
        nodes.append(TreeNode(sibling_x, y, step["hash"], "in the branch", "sibling"))
        above = _x_of(steps[level + 1]["side"] if level + 1 < len(steps) else None)
        edges += [(x + middle, y, above + middle, y - _LEVEL + _NODE_HEIGHT) for x in (path_x, sibling_x)]
        sibling = bytes.fromhex(step["hash"])
        value = merkle.node_hash(sibling, value) if step["side"] == "left" else merkle.node_hash(value, sibling)
    nodes.append(TreeNode(_x_of(None), 0, value.hex(), "transactions_root", "root"))
    return Tree(tuple(nodes), tuple(edges), _RIGHT + _NODE_WIDTH, height)


def _x_of(side: str | None) -> int:
    """The x of a node of the path whose sibling is on `side`; None is for the root, in the middle."""
    if side is None:
        return (_LEFT + _RIGHT) // 2
    return _RIGHT if side == "left" else _LEFT
