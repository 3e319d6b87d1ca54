"""The transactions at many places of the chain, read with few commands to the store."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from api.serving import budget
from services.node import Node
from services.store.index import id_at
from services.store.records import StoredHeader

# Memory that a block takes while it is read, as a multiple of its own bytes.
_PER_BYTE = 14
# Hashes of heights that lie closer together than this are read as one range.
_RANGE = 1000


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction on the chain."""

    id: str
    fields: dict[str, Any]
    stored: StoredHeader


def at_places(node: Node, places: Sequence[tuple[int, int]]) -> list[Placed]:
    """The transactions at these (height, position), in the same order.

    Transactions that a reorganisation has just removed are left out.

    Raises:
        Busy: a block is large, and too many large answers are being sent.
    """
    hashes = _hashes(node, {height for height, _ in places})
    names = list(hashes.values())
    if not names:
        return []
    headers = node.chain.headers_of(names)
    ids = node.chain.packed_ids(names)
    largest = max((stored.size for stored in headers), default=0)
    budget.reserve(_PER_BYTE * largest)
    wanted: dict[int, list[int]] = {}
    for height, position in places:
        wanted.setdefault(height, []).append(position)
    found: dict[tuple[int, int], Placed] = {}
    for stored, text in node.chain.read_blocks(headers):  # one by one, so of a large block only the shown part is kept
        height, packed = stored.header.index, ids[stored.header.hash]
        transactions = json.loads(text)["transactions"]
        for position in wanted[height]:
            if position < len(transactions):
                found[height, position] = Placed(id_at(packed, position), transactions[position], stored)
    return [found[place] for place in places if place in found]


def _hashes(node: Node, heights: Collection[int]) -> dict[int, str]:
    """Height -> hash of the block at it."""
    if not heights:
        return {}
    low, high = min(heights), max(heights)
    if high - low < _RANGE:
        found = node.chain.hashes(low, high - low + 1)
        return {height: found[height - low] for height in heights if height - low < len(found)}
    each = {height: node.chain.hash_at(height) for height in heights}
    return {height: block_hash for height, block_hash in each.items() if block_hash is not None}
