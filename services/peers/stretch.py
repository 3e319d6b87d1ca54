"""One peer's chain while it is judged: the hashes of its verified headers, and the time that the peer has left."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.errors import PeerFailed
from services.ports import Clock
from shared.block import Header
from shared.forkchoice import TipClaim

# Seconds that a peer may take without a block of its chain being adopted or staged.
PEER_SECONDS = 30.0
# The same, while other peers wait for their turn.
CROWDED_SECONDS = 10.0
_HASH_BYTES = 32


class OutOfTime(PeerFailed):
    """A peer, or a run of the resolver, has taken all the time that it may."""


class ChainChanged(PeerFailed):
    """The peer serves another chain than the one that it claimed a moment ago."""


class NeedsMore(PeerFailed):
    """A peer that answers needs more memory or time than its share while several are tried. It is tried alone later."""


class Budget:
    """The time that one peer may take in one run, and its share of memory.

    Args:
        run_ends: Unix seconds at which the run ends for all peers.
        bodies: blocks that may be asked for at once, of all peers that are tried at once.
        seconds: the longest time without a block of the peer's chain being adopted or staged.
        share: how many peers are tried at once.
    """

    def __init__(
        self, clock: Clock, run_ends: float, bodies: int, seconds: float = PEER_SECONDS, share: int = 1
    ) -> None:
        self._clock = clock
        self._run_ends = run_ends
        self._seconds = seconds
        self._ends = clock.now() + seconds
        self.bodies = max(bodies // share, 1)
        self.share = share
        self.progress = False  # whether a block was adopted or staged

    def extend(self) -> None:
        """A block was adopted or staged: the peer gets its time anew."""
        self.progress = True
        self._ends = self._clock.now() + self._seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Time spent inside the `with` block is not the peer's: it is this node's own work."""
        began = self._clock.now()
        try:
            yield
        finally:
            spent = self._clock.now() - began
            self._ends += spent
            self._run_ends += spent

    def check(self) -> None:
        """Raises: OutOfTime."""
        if self._clock.now() > min(self._ends, self._run_ends):
            raise OutOfTime("The peer's chain could not be fetched in time.")


class Stretch:
    """Verified headers after a fork point, held as their hashes."""

    def __init__(self, fork: int, window: deque[Header], chainwork: int) -> None:
        self.fork = fork
        self.window = window
        self.chainwork = chainwork
        self.ended = False  # the peer had no more headers
        self.at: Any = None  # what is looked at: a body as JSON, then the block that it is
        self._hashes = bytearray()

    def __len__(self) -> int:
        return len(self._hashes) // _HASH_BYTES

    def add(self, header: Header, work: int) -> None:
        self._hashes += bytes.fromhex(header.hash)
        self.window.append(header)
        self.chainwork += work

    def hash_at(self, position: int) -> str:
        return self._hashes[position * _HASH_BYTES : (position + 1) * _HASH_BYTES].hex()

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.window[-1].hash)
