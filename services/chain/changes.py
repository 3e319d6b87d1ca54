"""What has changed since a reader last looked at the chain: the way from its block to the tip.

It follows from the blocks alone, so a reader that has missed an event misses no block.
"""

from dataclasses import dataclass
from itertools import pairwise

from services.errors import TipMoved
from services.store.blocks import BlockReader
from services.store.records import StoredHeader

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Changes:
    """The way from one block to a later tip."""

    detached: list[StoredHeader]  # newest first
    attached: list[StoredHeader]  # oldest first; at most as many as were asked for
    last: StoredHeader  # where the way ends so far


def changes_since(chain: BlockReader, block_hash: str, most: int) -> Changes | None:
    """The blocks that were detached and attached since `block_hash` was the tip.

    Args:
        most: how many attached blocks are returned. If there are more, ask again from `last`.

    Returns:
        None if a block on the way is no longer stored: the reader has to begin again.

    Raises:
        TipMoved: the chain was reorganised during every attempt.
    """
    for _ in range(_ATTEMPTS):
        detached: list[StoredHeader] = []
        stored = chain.header(block_hash)
        while stored is not None and not chain.is_on_chain(stored):
            detached.append(stored)
            stored = chain.header(str(stored.header.previous_hash))
        if stored is None:
            return None
        attached = chain.headers(stored.header.index + 1, most)
        if _is_linked([stored, *attached]):
            return Changes(detached, attached, attached[-1] if attached else stored)
    raise TipMoved("The chain was reorganised while it was read.")


def _is_linked(way: list[StoredHeader]) -> bool:
    """Whether each block is the parent of the next. Heights and headers are read one after the other."""
    return all(child.header.previous_hash == parent.header.hash for parent, child in pairwise(way))
