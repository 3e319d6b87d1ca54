"""A block of the tree, and what follows from its ancestors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from lab.strategy import Known
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.difficulty import WINDOW, next_difficulty
from shared.forkchoice import TipClaim
from shared.rules.standard import StandardRules


class Block:
    """A found block. Everything but `published` stays as it was when the block was found."""

    __slots__ = (
        "_known",
        "_next_difficulty",
        "_window",
        "claim",
        "difficulty",
        "fees",
        "finder",
        "found_at",
        "hash",
        "height",
        "parent",
        "payments",
        "published",
        "timestamp",
    )

    def __init__(
        self,
        hash: str,
        parent: Block | None,
        difficulty: int,
        *,
        height: int,
        chainwork: int,
        finder: int | None,
        found_at: float,
        timestamp: int,
        published: bool,
        payments: tuple[str, ...] = (),
        fees: int = 0,
    ) -> None:
        self.hash = hash
        self.parent = parent
        self.difficulty = difficulty  # expected hashes
        self.height = height
        self.claim = TipClaim(chainwork, hash)
        self.finder = finder  # the node's index, from 0; None: genesis
        self.found_at = found_at  # seconds since the network began
        self.timestamp = timestamp  # Unix seconds, as the header claims
        self.published = published  # whether its finder shows it
        self.payments = payments
        self.fees = fees
        self._known: list[Known | None] = [None, None]
        self._window: tuple[Header, ...] | None = None
        self._next_difficulty: int | None = None

    def known(self, index: int) -> Known:
        """The block as the strategy of the node with this index sees it."""
        mine = self.finder == index
        known = self._known[mine]
        if known is None:
            parent = self.parent.hash if self.parent is not None else ""
            known = Known(self.hash, self.height, self.claim.chainwork, mine, self.fees, parent, self.payments)
            self._known[mine] = known
        return known

    def window(self) -> tuple[Header, ...]:
        """The headers that decide about the next block: this one and up to `WINDOW` - 1 before it, oldest first."""
        waiting: list[Block] = []
        block: Block | None = self
        while block is not None and block._window is None and len(waiting) < WINDOW:
            waiting.append(block)
            block = block.parent
        window = block._window if block is not None and block._window is not None else ()
        for each in reversed(waiting):
            previous = each.parent.hash if each.parent is not None else ""
            header = Header(each.height, each.timestamp, previous, each.difficulty, "", 0, each.hash)
            window = (*window[1 - WINDOW :], header)
        self._window = window
        return window

    def next_difficulty(self, spec: ChainSpec) -> int:
        """Difficulty of a block on this one."""
        if self._next_difficulty is None:
            self._next_difficulty = next_difficulty(self.window(), spec)
        return self._next_difficulty

    def ancestors(self) -> Iterator[Block]:
        """This block, its parent, and so on to genesis."""
        block: Block | None = self
        while block is not None:
            yield block
            block = block.parent


def common_ancestor(a: Block, b: Block) -> Block:
    """The last block that both branches have."""
    while a is not b:
        if a.height >= b.height:
            assert a.parent is not None  # all blocks descend from one genesis
            a = a.parent
        else:
            assert b.parent is not None
            b = b.parent
    return a


def branch(ancestor: Block, tip: Block) -> list[Block]:
    """The blocks above `ancestor` up to `tip`, oldest first."""
    blocks = []
    while tip is not ancestor:
        blocks.append(tip)
        assert tip.parent is not None
        tip = tip.parent
    blocks.reverse()
    return blocks


def digest_of(blocks: Iterable[Block]) -> str:
    """SHA-256, hex, of blocks with their parents, finders and times."""
    digest = sha256()
    for block in blocks:
        parent = block.parent.hash if block.parent is not None else ""
        digest.update(f"{block.hash} {parent} {block.finder} {block.found_at!r} {block.timestamp}\n".encode())
    return digest.hexdigest()


def genesis(spec: ChainSpec) -> Block:
    """The first block, with the hash that real nodes give it."""
    first = StandardRules(spec).genesis()
    return Block(
        first.hash,
        None,
        spec.difficulty,
        height=first.index,
        chainwork=0,
        finder=None,
        found_at=0.0,
        timestamp=spec.genesis_timestamp,
        published=True,
    )
