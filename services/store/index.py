"""Reading the indexes: where a transaction is on the chain, and which transactions name an address.

A reorganisation swaps the chain first and finishes the indexes a moment later. So a location is checked against the
chain before it is returned. A history is returned as it is stored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.store.blocks import BlockReader

_ID_BYTES = 32
# Where many places are held in memory, each is packed into 64 bits: height << POSITION_BITS | position. A block has at
# most 50,000 transactions.
POSITION_BITS = 20


@dataclass(frozen=True, slots=True)
class Location:
    """Where a transaction is on the chain."""

    height: int
    position: int  # 0 is the reward
    block_hash: str


class IndexReader(BlockReader):
    """The transaction index and the histories of one node."""

    def transaction_ids(self, block_hash: str) -> list[str]:
        """The ids of a block's transactions, in order."""
        return unpacked(self._blocks.one("ids", block_hash) or b"")

    def packed_ids(self, hashes: list[str]) -> dict[str, bytes]:
        """By block hash, the ids of each block's transactions as they are stored, for `id_at`; in one round trip.

        A block may hold 50,000 transactions, and their ids as text take four times as much memory.
        """
        found = self._blocks.many("ids", hashes)
        return {block_hash: packed or b"" for block_hash, packed in zip(hashes, found, strict=True)}

    def locate(self, transaction_id: str) -> Location | None:
        """Where a transaction is on the chain, or None."""
        return self.locate_many([transaction_id]).get(transaction_id)

    def locate_many(self, ids: Sequence[str]) -> dict[str, Location]:
        """Where those of `ids` that are on the chain are, by id.

        One round trip, and two or three for each block that holds some of them. Only one block's ids are in memory at
        a time, since each transaction may be in another block.
        """
        found: dict[str, Location] = {}
        places: dict[int, list[tuple[str, int | None]]] = {}  # height -> ids, and their positions if they are known
        for transaction_id, (place, heights) in zip(
            ids, self._blocks.places(list(map(bytes.fromhex, ids))), strict=True
        ):
            if place is not None:
                height, position = _place(place)
                places.setdefault(height, []).append((transaction_id, position))
            for height in heights:
                places.setdefault(height, []).append((transaction_id, None))
        for height, items in places.items():
            block_hash = self.hash_at(height)
            if block_hash is None:
                continue
            packed = self._blocks.one("ids", block_hash, height) or b""
            for transaction_id, at in items:
                if at is None:
                    at = position_of(packed, bytes.fromhex(transaction_id))
                if at is not None and id_at(packed, at) == transaction_id:
                    found[transaction_id] = Location(height, at, block_hash)
        return found

    def returning(self, transaction_id: str) -> dict[str, Any] | None:
        """The JSON object of a transaction that a reorganisation has detached and not yet brought back.

        A moment later it is in the mempool, or has a record.
        """
        found, journal = self._redis.hget(self.keys.transactions, bytes.fromhex(transaction_id)), None
        if found is not None:
            journal = self._redis.get(self.keys.journal)
        if found is None or journal is None:
            return None
        (height, position), value = _place(found), json.loads(journal)
        detached: list[str] = value["detached"][::-1]
        if not 0 < height - value["fork"] <= len(detached):
            return None
        block_hash = detached[height - value["fork"] - 1]
        if self.transaction_ids(block_hash)[position : position + 1] != [transaction_id]:
            return None
        fields: dict[str, Any] = self.block_object(block_hash)["transactions"][position]
        return fields

    def has_journal(self) -> bool:
        """Whether the indexes and the mempool are still those of the branch that a reorganisation has left."""
        return self._redis.get(self.keys.journal) is not None

    def history(self, address: str, *, newest: int, limit: int) -> list[tuple[int, int]]:
        """(height, position) of the transactions that name `address`, newest first.

        Args:
            newest: how many of the newest to skip.
            limit: how many to return at most.
        """
        found = self._redis.lrange(self.keys.history(address), -newest - limit, -newest - 1)
        return [_place(item) for item in reversed(found)]


def _place(text: bytes) -> tuple[int, int]:
    """Height and position, from "height:position"."""
    height, position = text.split(b":")
    return int(height), int(position)


def unpacked(packed: bytes) -> list[str]:
    """The ids of a block's transactions, from how they are stored."""
    text = packed.hex()
    return [text[start : start + 2 * _ID_BYTES] for start in range(0, len(text), 2 * _ID_BYTES)]


def id_at(packed: bytes, position: int) -> str:
    """The id at a position of a block; "" if there is none."""
    return packed[_ID_BYTES * position : _ID_BYTES * (position + 1)].hex()


def position_of(packed: bytes, identifier: bytes) -> int | None:
    """The position of an id (32 bytes) among the ids of a block; None if it is not there."""
    at = packed.find(identifier)
    while at >= 0 and at % _ID_BYTES:
        at = packed.find(identifier, at + 1)
    return at // _ID_BYTES if at >= 0 else None
