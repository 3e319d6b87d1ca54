"""Reading the records of blocks, whether a block is stored by itself or in a pack (pack_form.py).

A reader looks for the block by itself first, then in the packs, and once more by itself: a pack may be made or taken
apart in between. What is stored by itself counts, since a repair corrects the records of packed blocks in that way.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from services.errors import Damaged, Pruned
from services.ports import Store
from services.store.keys import Keys
from services.store.pack_form import BlockRecords, Part, unpack
from services.store.scripts import Scripts

Kind = Literal["blocks", "headers", "undo", "ids"]

_FIELDS: dict[Kind, str] = {"blocks": "text", "headers": "header", "undo": "undo", "ids": "ids"}
_PARTS: dict[Kind, Part] = {"blocks": "whole", "headers": "headers", "undo": "whole", "ids": "ids"}
# Blocks that one script looks for.
_TOGETHER = 500
# Of a name and of a height in the index of packed blocks (lua/names.lua).
NAME_BYTES, HEIGHT_BYTES = 5, 4
_HASH_BYTES = 32
_HEIGHT = re.compile(rb'\{"index":(\d+),')  # how a stored header begins


def full_hash(item: bytes) -> bytes:
    """An entry of the list of heights as 64 hex digits: those of packed blocks are kept as 32 bytes."""
    return item.hex().encode() if len(item) == _HASH_BYTES else item


def name_of_block(block_hash: bytes) -> bytes:
    """The name of a block in the index: the end of its hash, since the beginning is mostly zeros."""
    try:
        return bytes.fromhex(block_hash[-2 * NAME_BYTES :].decode("ascii", "replace")).rjust(NAME_BYTES, b"\0")
    except ValueError:  # what a damaged store holds in place of a hash
        return bytes(NAME_BYTES)


def name_of_transaction(identifier: bytes) -> bytes:
    """The name of a transaction in the index: the beginning of its id (32 bytes)."""
    return identifier[:NAME_BYTES]


class RecordReader:
    """The records of one node's blocks."""

    def __init__(self, redis: Store, keys: Keys, scripts: Scripts, *, audits: bool = False) -> None:
        """
        Args:
            audits: a pack that cannot be read is as if it were not there, so that its blocks are reported; and what is
                pruned is None, as what is missing.
        """
        self._redis = redis
        self._keys = keys
        self._scripts = scripts
        self._audits = audits
        # The last pack that was read, and what was in it: a page of a chain often ends in the middle of a pack.
        self._last: tuple[bytes, Part, list[BlockRecords]] = (b"", "whole", [])

    def one(self, kind: Kind, block_hash: str | bytes, height: int = 0) -> bytes | None:
        """One record of a block; None if it is not stored. `height`: of the block, if it is known.

        Raises:
            Damaged: the block's pack cannot be read.
            Pruned: the block's body or undo record is asked for, and was removed.
        """
        name = _bytes(block_hash)
        found = self._redis.hget(self._key(kind), name)
        return found if found is not None else self._missing(kind, [name], [height])[0]

    def many(self, kind: Kind, hashes: Sequence[str] | Sequence[bytes], first: int = 0) -> list[bytes | None]:
        """One record of each block, in the order of their hashes.

        Args:
            first: the height of the first block, if the blocks follow one another on the chain; 0 if they may not.

        Raises:
            Damaged: a pack cannot be read.
            Pruned: a body or an undo record that is asked for was removed.
        """
        names = [_bytes(item) for item in hashes]
        found = self._redis.hmget(self._key(kind), names) if names else []
        at = [i for i, item in enumerate(found) if item is None]
        if at:
            heights = [first + i if first else 0 for i in at]
            for i, item in zip(at, self._missing(kind, [names[i] for i in at], heights), strict=True):
                found[i] = item
        return found

    def packed(
        self, hashes: Sequence[bytes], heights: Sequence[int], part: Part = "whole"
    ) -> Iterator[tuple[bytes, BlockRecords]]:
        """Hash and records of those blocks that are in packs, in any order.

        Args:
            heights: of the blocks; 0 where it is not known.
            part: what is asked for; the other records are None.
        """
        wanted = set(hashes)
        blocks = sorted(zip(heights, hashes, strict=True))
        left = [str(height) for height, _ in blocks if height]
        names = [name_of_block(name) for height, name in blocks if not height]
        while left or names:
            known, unknown = left[:_TOGETHER], names[: max(_TOGETHER - len(left), 0)]
            args = [part, len(known), *known, *unknown]
            done, *values = self._scripts.run("read_packs", [self._keys.prefix], args)
            names = names[max(done - len(known), 0) :]
            left = left[done:]
            for value in values:
                for records in self._opened(value, part):
                    name = hash_of(records)
                    if name in wanted:
                        wanted.discard(name)
                        yield name, records

    def pack_at(self, height: int) -> list[BlockRecords]:
        """All blocks of the pack that holds a height, in their order; empty if the block is not packed.

        Raises:
            Damaged: the pack cannot be read.
        """
        _, *values = self._scripts.run("read_packs", [self._keys.prefix], ["whole", 1, height])
        return self._opened(values[0], "whole") if values else []

    def places(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes | None, list[int]]]:
        """Per transaction id (32 bytes), its entry in the index, or heights at which a packed block may hold it, the
        highest first.
        """
        found = self._scripts.run("find_transactions", [self._keys.prefix], list(ids)) if ids else []
        for place, text in zip(found[::2], found[1::2], strict=True):
            yield place or None, _heights(text)

    def heights(self, hashes: Sequence[bytes]) -> list[list[int]]:
        """Per block hash, the heights at which it may be packed by the index of what is packed."""
        names = [name_of_block(item) for item in hashes]
        found = self._scripts.run("find_blocks", [self._keys.prefix], names) if names else []
        return [_heights(text) for text in found]

    def _missing(self, kind: Kind, names: list[bytes], heights: list[int]) -> list[bytes | None]:
        """The records of blocks that are not stored by themselves."""
        field = _FIELDS[kind]
        packed: dict[bytes, bytes | None] = {
            name: getattr(records, field) for name, records in self.packed(names, heights, _PARTS[kind])
        }
        lost = [name for name in names if name not in packed]
        if lost:  # not stored, or its pack was taken apart meanwhile
            packed.update(zip(lost, self._redis.hmget(self._key(kind), lost), strict=True))
        if kind in ("blocks", "undo") and not self._audits:
            self._require_kept([name for name in names if packed[name] is None])
        return [packed[name] for name in names]

    def pruned(self) -> int:
        """The height up to which bodies and undo records are gone, but for genesis; 0: all are there."""
        return int(self._redis.hget(self._keys.packed, "pruned") or 0)

    def _require_kept(self, names: list[bytes]) -> None:
        """Refuse to take blocks for unknown whose header is on the chain and whose body was removed.

        Raises:
            Pruned
        """
        pruned = self.pruned() if names else 0
        if not pruned:
            return
        for text in self.many("headers", names):
            found = _HEIGHT.match(text or b"")
            height = int(found[1]) if found else 0
            if 1 < height <= pruned and hash_of(BlockRecords(None, text, None, None)) in self._at(height):
                raise Pruned(pruned + 1)

    def _at(self, height: int) -> list[bytes]:
        return [full_hash(item) for item in self._redis.lrange(self._keys.heights, height - 1, height - 1)]

    def _opened(self, value: bytes, part: Part) -> list[BlockRecords]:
        last = self._last
        if last[0] == value and last[1] == part:
            return last[2]
        try:
            blocks = unpack(value, part)
        except Damaged:
            if self._audits:
                return []
            raise
        self._last = value, part, blocks
        return blocks

    def _key(self, kind: Kind) -> str:
        key: str = getattr(self._keys, kind)
        return key


def _heights(text: bytes) -> list[int]:
    parts = (text[i : i + HEIGHT_BYTES] for i in range(0, len(text), HEIGHT_BYTES))
    return sorted({int.from_bytes(part, "big") for part in parts}, reverse=True)


def hash_of(block: BlockRecords) -> bytes:
    """The hash that the stored header of a block names; b"" if it names none."""
    _, mark, rest = (block.header or b"").rpartition(b'"hash":"')
    return rest[:64] if mark else b""


def _bytes(block_hash: str | bytes) -> bytes:
    return block_hash.encode() if isinstance(block_hash, str) else block_hash
