"""The tips of all branches that this node knows: of its chain, of branches that it left or did not complete, of headers
whose blocks it does not have, and blocks that it refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from services.peers.book import PeerBook
from services.store.chain import ChainStore
from services.store.records import StoredHeader, Tip
from services.store.tips import HeaderEnd, Refused, TipStore

State = Literal["active", "fork", "headers", "invalid"]
_ORDER: tuple[State, ...] = ("active", "fork", "headers", "invalid")
# Blocks that are followed at most from a tip down to our chain. A tip that is further away has no fork point here.
_MOST_FOLLOWED = 5000
# Blocks of the chain that are compared at once, and parents that are remembered.
_PAGE = 200
_MOST_PARENTS = 50_000


@dataclass(frozen=True, slots=True)
class Place:
    """A block of our chain."""

    height: int
    hash: str


@dataclass(frozen=True, slots=True)
class ChainTip:
    """The end of one branch."""

    hash: str
    height: int
    chainwork: int
    state: State
    fork: Place | None  # the last block that the branch has in common with our chain; None: unknown
    proven: bool  # by headers that were verified; False: a peer says so
    seen_at: float | None  # Unix seconds at which it was first noted; None: unknown
    peers: tuple[str, ...]  # URLs of the peers that have it, or showed it
    code: str = ""  # of the rule that an invalid block breaks
    reason: str = ""
    size: int | None = None  # bytes of an invalid block; None: only its header was seen


class Tips:
    """The tips that one node knows."""

    def __init__(self, chain: ChainStore, store: TipStore, book: PeerBook) -> None:
        self._chain = chain
        self._store = store
        self._book = book
        self._parents: dict[str, tuple[int, str]] = {}  # hash → height and parent: both never change

    def all(self) -> list[ChainTip]:
        """All tips, the active one first, then by state and work.

        At most 1 + 64 detached + 500 staged + 64 refused, and two for each peer.
        """
        tip = self._chain.tip()
        found = {tip.hash: ChainTip(tip.hash, tip.height, tip.chainwork, "active", _place(tip), True, None, ())}
        found |= self._forks(tip)
        found |= self._header_ends(tip, found)
        found |= self._refused(tip, found)
        self._add_claims(found)
        return sorted(found.values(), key=lambda item: (_ORDER.index(item.state), -item.chainwork, item.hash))

    def refused_block(self, block_hash: str) -> bytes | None:
        """The canonical body of an invalid block; None if it is not kept."""
        return self._store.refused_block(block_hash)

    def refused(self, block_hash: str) -> Refused | None:
        """An invalid block, as it was noted."""
        return next((item for item in self._store.refused() if item.hash == block_hash), None)

    def _forks(self, tip: Tip) -> dict[str, ChainTip]:
        seen = self._store.ends()
        stored = self._chain.headers_of(list(seen))
        parents = {str(item.header.previous_hash) for item in stored}
        found = {}
        for item in stored:
            name, height = item.header.hash, item.header.index
            if name not in parents and not self._chain.is_on_chain(item):
                fork = self._fork(name, tip)
                found[name] = ChainTip(name, height, item.chainwork, "fork", fork, True, seen[name], ())
        return found

    def _header_ends(self, tip: Tip, known: dict[str, ChainTip]) -> dict[str, ChainTip]:
        found: dict[str, ChainTip] = {}
        ends = self._store.header_ends()
        stored = self._stored(end.hash for end in ends.values())
        for url, end in sorted(ends.items(), key=lambda item: (item[1].at, item[0])):
            if end.hash in known or end.hash in stored:
                continue  # its blocks are here
            others = found[end.hash].peers if end.hash in found else ()
            found[end.hash] = self._header_tip(end, tip, (*others, url))
        return found

    def _header_tip(self, end: HeaderEnd, tip: Tip, peers: tuple[str, ...]) -> ChainTip:
        fork = self._fork(end.fork, tip)
        return ChainTip(end.hash, end.height, end.chainwork, "headers", fork, True, end.at, peers)

    def _refused(self, tip: Tip, known: dict[str, ChainTip]) -> dict[str, ChainTip]:
        found = {}
        refused = self._store.refused()
        stored = self._stored(name for item in refused for name in (item.hash, str(item.header["previous_hash"])))
        for item in refused:
            if item.hash in known or item.hash in stored:
                continue  # another release judged otherwise, and has it on a branch
            parent = str(item.header["previous_hash"])
            found[item.hash] = ChainTip(
                item.hash, item.header["index"], item.chainwork, "invalid",
                self._fork(parent if parent in stored else item.fork, tip), True, item.at, (item.peer,),
                item.code, item.reason, item.size,
            )  # fmt: skip
        return found

    def _add_claims(self, found: dict[str, ChainTip]) -> None:
        """Add what the peers claim: who has a tip, and tips of which nothing is proven."""
        claims = [peer for peer in self._book.approved() if peer.tip and peer.state != "other_chain"]
        stored = self._stored(peer.tip for peer in claims)
        for peer in claims:
            known = found.get(peer.tip)
            if known is not None:
                peers = known.peers if peer.url in known.peers else (*known.peers, peer.url)
                found[peer.tip] = ChainTip(
                    known.hash, known.height, known.chainwork, known.state, known.fork, known.proven, known.seen_at,
                    peers, known.code, known.reason, known.size,
                )  # fmt: skip
            elif peer.tip not in stored:
                found[peer.tip] = ChainTip(
                    peer.tip, peer.height, peer.chainwork, "headers", None, False, peer.seen_at or None, (peer.url,)
                )

    def _stored(self, hashes: Iterable[str]) -> dict[str, StoredHeader]:
        return {item.header.hash: item for item in self._chain.headers_of(list(dict.fromkeys(hashes)))}

    # --- fork points ---

    def _fork(self, block_hash: str, tip: Tip) -> Place | None:
        """The last block of our chain among a stored block and its ancestors."""
        followed, page = 0, 1
        name: str | None = block_hash
        while name is not None and followed < _MOST_FOLLOWED:
            line: list[Place] = []
            while name is not None and len(line) < page:
                found = self._parent(name)
                if found is None:
                    return None
                line.append(Place(found[0], name))
                name = found[1] if found[0] > 1 else None
            followed, page = followed + len(line), min(8 * page, _PAGE)
            lowest = line[-1].height
            ours = dict(enumerate(self._chain.hashes(lowest, min(line[0].height, tip.height) - lowest + 1), lowest))
            for place in line:
                if ours.get(place.height) == place.hash:
                    return place
        return None

    def _parent(self, block_hash: str) -> tuple[int, str] | None:
        """Height and parent of a stored block."""
        known = self._parents.get(block_hash)
        if known is None:
            stored = self._chain.header(block_hash)
            if stored is None:
                return None
            if len(self._parents) >= _MOST_PARENTS:
                self._parents.clear()
            known = self._parents[block_hash] = (stored.header.index, str(stored.header.previous_hash))
        return known


def _place(tip: Tip) -> Place:
    return Place(tip.height, tip.hash)
