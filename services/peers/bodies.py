"""Which peer is asked for the bodies of a chain whose headers were verified: the one that sent the headers, or, below
the height from which it keeps bodies, any other. A body that another sends is compared with the header all the same.
"""

from collections.abc import Callable, Sequence

from services.errors import PeerFailed
from services.peers.client import PeerClaim

# Blocks that other peers are asked for before the peer itself is tried again, after it had no bodies for some.
_OTHERS_FIRST = 64


class NoBodies(PeerFailed):
    """No peer that can be reached has the bodies of some blocks. None of them has lied."""


class BodySources:
    """Where the bodies of one peer's chain come from.

    Args:
        claim: of the peer that sent the headers.
        others: called once, when bodies are needed that the peer does not have: the claims of the other peers.
    """

    def __init__(self, claim: PeerClaim, others: Callable[[], Sequence[PeerClaim]]) -> None:
        self._claim = claim
        self._others = others
        self._own_from = claim.kept_from
        self._gone = claim.kept_from - 1  # the last height for which it is known to have no body
        self._left: list[PeerClaim] | None = None  # other peers that have not failed

    def at(self, height: int) -> tuple[PeerClaim, int]:
        """The peer to ask for the bodies from a height on, and for how many at most.

        Raises:
            NoBodies
        """
        if height >= self._own_from:
            return self._claim, 2**63
        for other in self._rest():
            if other.kept_from <= height <= other.height:
                return other, min(self._own_from, other.height + 1) - height
        if height > self._gone:
            return self._claim, 2**63
        raise NoBodies(
            f"The peer keeps whole blocks from height {self._gone + 1} on, and no other peer that can be "
            f"reached has block {height} of its chain: add a peer that keeps all blocks (one without QUARRY_KEEP)."
        )

    def is_own(self, source: PeerClaim) -> bool:
        """Whether a source is the peer that sent the headers."""
        return source is self._claim

    def drop(self, source: PeerClaim, height: int) -> None:
        """A source has not given the right body for a height. That proves nothing: it may be on another branch."""
        if self.is_own(source):
            self._own_from, self._gone = height + _OTHERS_FIRST, height
        else:
            self._left = [other for other in self._rest() if other.url != source.url]

    def _rest(self) -> Sequence[PeerClaim]:
        if self._left is None:
            self._left = [other for other in self._others() if other.url != self._claim.url]
        return self._left
