"""Blocks and transactions by the first digits of their hash, as people copy them from a terminal.

There is no index of beginnings: it would take memory for every transaction. The newest blocks are searched instead,
which is where people look. How far is bounded, so that a search costs the same on a chain of any length.
"""

import re
import threading
from dataclasses import dataclass, field

from services.store.index import IndexReader, id_at

# Fewer digits would match too much: of 10,000 hashes, 40 begin with the same two.
SHORTEST = 4
# How many of the newest blocks are searched, and how many bytes of their transactions' ids (65,536 ids).
BLOCKS = 10_000
ID_BYTES = 2 * 2**20
# Blocks whose ids are read at once. Groups grow while the blocks are small.
_LARGEST_GROUP = 1_000
_SMALL = 2**16  # bytes of ids
# Blocks at the end of the chain that are compared first, to see what is new.
_TAIL = 16
_ID_BYTES = 32  # of one id or hash

_BEGINNING = re.compile(rf"[0-9a-f]{{{SHORTEST},63}}")


@dataclass(frozen=True, slots=True)
class Beginnings:
    """What begins with the digits, newest first."""

    blocks: tuple[str, ...]  # hashes
    transactions: tuple[str, ...]  # ids
    more: bool  # the search ended because it had found enough
    lowest: int  # the lowest height that was searched; 1: the whole chain was


@dataclass(frozen=True, slots=True)
class _Window:
    """The newest blocks of the chain and the ids of their transactions, oldest first."""

    first: int = 1  # the height of the oldest
    hashes: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # bytes of each block's packed ids
    text: str = ""  # the hashes, each after a line break: most begin alike, with zeros
    packed: bytes = b""  # the ids of all blocks

    def ends_with(self, block_hash: str) -> bool:
        return bool(self.hashes) and self.hashes[-1] == block_hash

    def has(self, height: int, block_hash: str) -> bool:
        position = height - self.first
        return 0 <= position < len(self.hashes) and self.hashes[position] == block_hash


class RecentHashes:
    """The hashes of a chain's newest blocks and of their transactions, for searches by their first digits.

    They are kept in memory, about 5 MB at most, and only what is new is read again. A block's hash says what its
    transactions are and which blocks are below it. So what is kept is right as long as its last block is the tip, and
    after a reorganisation it is right up to the fork point. Every method may be called from any thread.
    """

    def __init__(self, chain: IndexReader) -> None:
        self._chain = chain
        self._lock = threading.Lock()  # one thread reads what is new, and the others use it
        self._kept = _Window()

    def find(self, digits: str, most: int) -> Beginnings:
        """The blocks and transactions of the chain whose hash begins with `digits`, at most `most` of each.

        Raises:
            NotBegun, Damaged: the tip cannot be read.
        """
        window = self._window()
        blocks = _lines(window.text, digits, most + 1)
        transactions = _ids(window.packed, digits, most + 1)
        more = len(blocks) > most or len(transactions) > most
        return Beginnings(tuple(blocks[:most]), tuple(transactions[:most]), more, window.first)

    def _window(self) -> _Window:
        """The newest blocks now."""
        tip = self._chain.tip()
        kept = self._kept
        if kept.ends_with(tip.hash):
            return kept
        with self._lock:
            if not self._kept.ends_with(tip.hash):
                self._kept = self._read(tip.height, self._kept)
            return self._kept

    def _read(self, height: int, kept: _Window) -> _Window:
        """The newest blocks of a chain whose tip is at about `height`. Those of `kept` are not read again."""
        for count in (_TAIL, BLOCKS):
            first = max(1, height + 1 - count)
            # All in one answer, so that a reorganisation cannot mix two branches.
            hashes = self._chain.hashes(first, 2 * BLOCKS)
            known = next((i for i in range(len(hashes), 0, -1) if kept.has(first + i - 1, hashes[i - 1])), 0)
            if known:
                break
        packed = self._packed(hashes[known:])
        if known and known + len(packed) == len(hashes):  # nothing is missing in between
            end = first + known - kept.first
            old = kept.packed[: sum(kept.sizes[:end])]
            return _newest(kept.first, kept.hashes[:end] + hashes[known:], kept.sizes[:end], old, packed)
        start = len(hashes) - len(packed)
        return _newest(first + start, hashes[start:], [], b"", packed)

    def _packed(self, hashes: list[str]) -> list[bytes]:
        """The packed ids of blocks, of as many of the last ones as are searched."""
        found: list[bytes] = []
        group, left, above = 1, ID_BYTES, len(hashes)
        while above > 0 and left > 0:
            asked = hashes[max(0, above - group) : above]
            ids = self._chain.packed_ids(asked)
            size = sum(map(len, ids.values()))
            found += [ids[block_hash] for block_hash in reversed(asked)]
            left -= size
            above -= len(asked)
            group = min(2 * group, _LARGEST_GROUP) if size < _SMALL else max(group // 2, 1)
        return found[::-1]


def _newest(first: int, hashes: list[str], sizes: list[int], old: bytes, new: list[bytes]) -> _Window:
    """The last of some blocks, as many as are searched: at least one, if there are any.

    Args:
        sizes: bytes of the ids of those blocks whose ids are in `old`; those of the others are in `new`.
    """
    sizes = [*sizes, *map(len, new)]
    start, left = len(hashes), ID_BYTES
    while start > max(0, len(hashes) - BLOCKS) and left > 0:
        start -= 1
        left -= sizes[start]
    hashes = hashes[start:]
    packed = b"".join([old, *new])[sum(sizes[:start]) :]
    return _Window(first + start, hashes, sizes[start:], "".join("\n" + item for item in hashes), packed)


def _lines(text: str, digits: str, most: int) -> list[str]:
    """The lines that begin with `digits`, the last first."""
    found: list[str] = []
    place = len(text)
    while len(found) < most and (place := text.rfind("\n" + digits, 0, place)) >= 0:
        found.append(text[place + 1 : place + 1 + 2 * _ID_BYTES])
    return found


def _ids(packed: bytes, digits: str, most: int) -> list[str]:
    """The packed ids that begin with `digits`, the last first."""
    found: list[str] = []
    needle = bytes.fromhex(digits[: len(digits) // 2 * 2])  # if the number is odd, without the last
    end = len(packed)
    while len(found) < most and (place := packed.rfind(needle, 0, end)) >= 0:
        if place % _ID_BYTES == 0:
            candidate = id_at(packed, place // _ID_BYTES)
            found += [candidate] if candidate.startswith(digits) else []
        end = place + len(needle) - 1
    return found


def is_beginning(text: str) -> bool:
    """Whether `text` can be searched for: the first digits of a hash, lower-case hexadecimal, but not all 64."""
    return _BEGINNING.fullmatch(text) is not None
