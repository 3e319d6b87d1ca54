"""Reading the transactions at many places of the chain with few commands."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from services.node import Node
from services.store.records import StoredHeader, decode_header

# Heights that lie closer together than this are read as one range, and what lies between is thrown away.
_RANGE = 1000


@dataclass(frozen=True, slots=True)
class Placed:
    """A transaction of the chain."""

    id: str
    fields: dict[str, Any]
    stored: StoredHeader


def at_places(node: Node, places: Sequence[tuple[int, int]]) -> list[Placed]:
    """The transactions at (height, position), in that order, without those that a reorganisation has just removed."""
    hashes = _hashes(node, {height for height, _ in places})
    names = list(hashes.values())
    if not names:
        return []
    redis, keys = node.chain.redis, node.chain.keys
    headers, texts, ids = (redis.hmget(key, names) for key in (keys.headers, keys.blocks, keys.ids))
    blocks = {
        height: (decode_header(header), json.loads(text)["transactions"], packed.hex())
        for height, header, text, packed in zip(hashes, headers, texts, ids, strict=True)
        if header is not None and text is not None and packed is not None
    }
    found = []
    for height, position in places:
        if height in blocks:
            stored, transactions, packed = blocks[height]
            if position < len(transactions):
                found.append(Placed(packed[64 * position : 64 * position + 64], transactions[position], stored))
    return found


def _hashes(node: Node, heights: Collection[int]) -> dict[int, str]:
    """Height -> hash of the block there."""
    if not heights:
        return {}
    low, high = min(heights), max(heights)
    if high - low < _RANGE:
        found = node.chain.redis.lrange(node.chain.keys.heights, low - 1, high - 1)
        return {height: found[height - low].decode() for height in heights if height - low < len(found)}
    each = {height: node.chain.hash_at(height) for height in heights}
    return {height: block_hash for height, block_hash in each.items() if block_hash is not None}
