"""Blocks and transactions by the first digits of their hash, as people copy them from a terminal.

There is no index of beginnings: it would take memory for every transaction. The newest blocks are searched instead,
which is where people look; how far is bounded, so that a search costs the same on a chain of any length.
"""

import re
from dataclasses import dataclass

from services.store.index import IndexReader, unpacked

# Fewer digits would match too much: of 10,000 hashes, 40 begin with the same two.
SHORTEST = 4
# How many of the newest blocks are searched, and how many bytes of their transactions' ids (65,536 ids).
BLOCKS = 10_000
ID_BYTES = 2 * 2**20
# Blocks whose ids are read at once. Groups grow while the blocks are small.
_LARGEST_GROUP = 100
_SMALL = 2**16  # bytes of ids

_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},63}}")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """What begins with the digits, newest first."""

    blocks: tuple[str, ...]  # hashes
    transactions: tuple[str, ...]  # ids
    more: bool  # the search ended because it had found enough
    lowest: int  # the lowest height that was searched; 1: the whole chain was


def is_beginning(text: str) -> bool:
    """Whether `text` can be searched for: the first digits of a hash, lower-case hexadecimal, but not all 64."""
    return _BEGINNING.fullmatch(text) is not None


def find_beginnings(chain: IndexReader, digits: str, most: int) -> Beginnings:
    """The blocks and transactions of the chain whose hash begins with `digits`, at most `most` of each."""
    blocks: list[str] = []
    transactions: list[str] = []
    above = chain.tip().height + 1
    bottom = max(1, above - BLOCKS)
    group, left = 1, ID_BYTES
    while above > bottom and left > 0 and len(blocks) <= most and len(transactions) <= most:
        first = max(bottom, above - group)
        hashes = chain.hashes(first, above - first)[::-1]
        ids = chain.packed_ids(hashes)
        for block_hash in hashes:
            if block_hash.startswith(digits):
                blocks.append(block_hash)
            transactions += [item for item in reversed(unpacked(ids[block_hash])) if item.startswith(digits)]
        size = sum(map(len, ids.values()))
        left -= size
        group = min(2 * group, _LARGEST_GROUP) if size < _SMALL else max(group // 2, 1)
        above = first
    more = len(blocks) > most or len(transactions) > most
    return Beginnings(tuple(blocks[:most]), tuple(transactions[:most]), more, above)
