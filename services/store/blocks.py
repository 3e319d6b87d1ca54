"""Reading blocks: which block is at which height, their headers and their bodies."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from services.errors import Damaged, NotFound, Pruned, TipMoved
from services.store.base import NodeStore
from services.store.pack_form import BlockRecords
from services.store.packs import full_hash, hash_of
from services.store.records import StoredHeader, Tip, decode_header, decode_tip

# Headers read at once while streaming, and bytes of blocks. They bound memory, whatever the length of the chain and
# the size of its blocks.
PAGE = 100
READ_AHEAD = 2**18
# Blocks at the tip that a locator names one by one.
DENSE = 10
# How often a read that spans several commands is repeated when the chain changes in between.
_ATTEMPTS = 5


class BlockReader(NodeStore):
    """The blocks of one node's chain."""

    def has_begun(self) -> bool:
        """Whether the genesis block has been written."""
        return self._redis.hlen(self.keys.tip) > 0

    def tip(self) -> Tip:
        """Raises: NotBegun, Damaged."""
        return decode_tip(self._redis.hgetall(self.keys.tip))

    def header(self, block_hash: str) -> StoredHeader | None:
        text = self._blocks.one("headers", block_hash)
        return None if text is None else decode_header(text)

    def headers(self, first: int, limit: int) -> list[StoredHeader]:
        """The headers of heights `first` to `first + limit - 1`, as far as the chain has them."""
        return self.headers_of(self._hashes(first, limit), first)

    def headers_of(self, hashes: list[str] | list[bytes], first: int = 0) -> list[StoredHeader]:
        """The headers of blocks, in the order of their hashes, without those that are not stored.

        Args:
            first: as `RecordReader.many`.
        """
        return [decode_header(text) for text in self._blocks.many("headers", hashes, first) if text is not None]

    def hashes(self, first: int, limit: int) -> list[str]:
        """The hashes of the blocks at heights `first` to `first + limit - 1`, as far as the chain has them."""
        return [block_hash.decode() for block_hash in self._hashes(first, limit)]

    def _hashes(self, first: int, limit: int) -> list[bytes]:
        """As `hashes`, but undecoded: in a damaged store they may not be text."""
        if first < 1 or limit < 1:
            return []
        return [full_hash(item) for item in self._redis.lrange(self.keys.heights, first - 1, first + limit - 2)]

    def hash_at(self, height: int) -> str | None:
        """The hash of the block at `height` on the chain; None if the chain is shorter."""
        found = self._redis.lindex(self.keys.heights, height - 1) if height > 0 else None
        return None if found is None else full_hash(found).decode()

    def is_on_chain(self, stored: StoredHeader) -> bool:
        """Whether a stored block is part of the chain now. Staged and detached blocks are stored too."""
        return self.hash_at(stored.header.index) == stored.header.hash

    def block_bytes(self, block_hash: str) -> bytes | None:
        """The canonical block; None if it is not stored.

        Raises:
            Pruned: it is on the chain, and its body was removed.
        """
        return self._blocks.one("blocks", block_hash)

    def block_object(self, block_hash: str) -> dict[str, Any]:
        """The block's JSON object.

        Raises:
            NotFound, Damaged, Pruned
        """
        text = self.block_bytes(block_hash)
        if text is None:
            raise NotFound("There is no such block.")
        try:
            value: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Damaged("A block of the store cannot be read; quarry chain verify names it.") from None
        return value

    def locator(self) -> list[str]:
        """Hashes of our chain from the tip down to genesis: the last few, then at doubling distances.

        The first one that a peer also has is the fork point, or lies below it, at most twice as deep.
        """
        height = self.tip().height
        heights, step = [], 1
        while height > 1:
            heights.append(height)
            if len(heights) >= DENSE:
                step *= 2
            height -= step
        hashes = [self.hash_at(height) for height in [*heights, 1]]
        return [found for found in hashes if found is not None]

    def fork_height(self, locator: Sequence[str]) -> int:
        """The height of the first hash of a locator that is on our chain; 0 if none is."""
        for block_hash in locator:
            stored = self.header(block_hash)
            if stored is not None and self.is_on_chain(stored):
                return stored.header.index
        return 0

    def after(self, locator: Sequence[str], limit: int) -> tuple[int, list[StoredHeader]]:
        """The height after the first hash of a locator that is on our chain (1: none is), and headers from there on.

        Raises:
            TipMoved: the chain is reorganised again and again while it is read.
        """
        for _ in range(_ATTEMPTS):
            first = self.fork_height(locator) + 1
            found = self.headers(first, limit)
            # A reorganisation in between would give headers that do not follow the fork point.
            follows = found[0].header.previous_hash in locator if found else self.tip().height < first
            if first == 1 or follows:
                return first, found
        raise TipMoved("The chain was reorganised while it was read.")

    def kept_from(self) -> int:
        """The height of the first block from which on all bodies are kept; 1: none was pruned."""
        return self._blocks.pruned() + 1

    def require_kept(self, first: int, last: int) -> None:
        """Refuse to read the bodies from one height to another, if some were pruned. Genesis never is.

        Raises:
            Pruned
        """
        kept_from = self.kept_from()
        if first < kept_from and (first, last) != (1, 1):
            raise Pruned(kept_from)

    def stream(self, first: int, last: int) -> Iterator[bytes]:
        """The canonical blocks from one height to another, both included.

        They are read pack by pack or in groups (`read_blocks`).

        Raises:
            Pruned: some of them were pruned. It is raised at once, or in the middle if that happens meanwhile.
            TipMoved: a reorganisation replaced what has been sent already; the reader must start again.
        """
        self.require_kept(first, last)
        return self._stream(first, last)

    def _stream(self, first: int, last: int) -> Iterator[bytes]:
        sent: str | None = None
        start, packed = first, True
        while start <= last:
            pack = self._part_of_pack(start, last) if packed else []
            packed = bool(pack)  # blocks that could not be packed are rare, and packs above them are read as others are
            if pack:
                head = decode_header(pack[0].header or b"").header
                if sent is not None and head.previous_hash != sent:
                    raise TipMoved("The chain was reorganised while it was read.")
                for block in pack:
                    text = block.text if block.text is not None else self.block_bytes(hash_of(block).decode())
                    yield text or b""
                sent, start = hash_of(pack[-1]).decode(), start + len(pack)
                continue
            headers = self.headers(start, min(PAGE, last + 1 - start))
            if not headers:
                raise TipMoved("The chain became shorter while it was read.")
            for stored, found in self.read_blocks(headers):
                if sent is not None and stored.header.previous_hash != sent:
                    raise TipMoved("The chain was reorganised while it was read.")
                sent = stored.header.hash
                yield found
            start += len(headers)

    def _part_of_pack(self, first: int, last: int) -> list[BlockRecords]:
        """The blocks from one height to another, as far as the pack that holds the first one has them."""
        pack = self._blocks.pack_at(first)
        lowest = decode_header(pack[0].header or b"").header.index if pack else first
        return pack[first - lowest : last + 1 - lowest]

    def read_blocks(self, headers: Iterable[StoredHeader]) -> Iterator[tuple[StoredHeader, bytes]]:
        """The canonical blocks of stored headers, in their order.

        They are read in groups of at most READ_AHEAD bytes, or of one block.

        Raises:
            Pruned
        """
        for group in _by_size(headers, READ_AHEAD):
            texts = self._blocks.many("blocks", [stored.header.hash for stored in group], _first(group))
            texts.reverse()  # so that each can be freed as soon as it is handed on
            for stored in group:
                text = texts.pop()
                assert text is not None, "block and header are written together"
                yield stored, text


def _first(group: list[StoredHeader]) -> int:
    """The height of the first of some blocks, if they follow one another; 0 if they do not."""
    first = group[0].header.index
    follow = all(stored.header.index == height for height, stored in enumerate(group, first))
    return first if follow else 0


def _by_size(headers: Iterable[StoredHeader], most: int) -> Iterator[list[StoredHeader]]:
    """Groups of consecutive headers whose blocks have at most `most` bytes together, or of one that has more."""
    group: list[StoredHeader] = []
    size = 0
    for stored in headers:
        if group and size + stored.size > most:
            yield group
            group, size = [], 0
        group.append(stored)
        size += stored.size
    if group:
        yield group
