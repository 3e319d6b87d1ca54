"""The peers of one node: which to ask, what they last claimed, and which are not asked during a pause."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Literal

import structlog

from services.errors import PolicyError
from services.ports import Clock
from services.store.peers import PeerStore

_log = structlog.get_logger(__name__)

State = Literal["new", "ok", "unasked", "unreachable", "lying", "other_chain", "pruned", "candidate"]

# URLs learnt from peers. They are kept for the operator to approve, and are never asked.
MAX_CANDIDATES = 64
# Seconds. After a partition, nodes meet again within the longest pause, even if no node mines.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
_LIARS_PAUSE = 30.0
# Seconds. A run notes its answers when the last one has arrived, up to two seconds after the first.
_CLOCK_TOLERANCE = 5.0
_LIARS_LONGEST_PAUSE = 600.0
_BLAMED: frozenset[State] = frozenset({"lying", "other_chain"})
# A peer is asked for its tip once in this many seconds, however many announcements and requests there are.
ASK_SECONDS = 1.0
# Seconds for which a repeated announcement of the same block by the same peer is ignored.
SAME_NEWS_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of one peer."""

    url: str
    state: State = "new"
    height: int = 0  # as it last claimed
    tip: str = ""
    chainwork: int = 0
    failures: int = 0  # in a row
    next_try: float = 0.0  # Unix seconds; until then it is left alone
    reason: str = ""  # why it is not ok, or what is to be said of it, one sentence
    seen_at: float = 0.0  # Unix seconds of its last good answer
    ahead: float = 0.0  # seconds by which its clock was ahead of ours then, give or take the time of an answer
    broken: int = 0  # better chains that it claimed and did not deliver, since it last delivered one

    @property
    def approved(self) -> bool:
        return self.state != "candidate"

    @property
    def is_off(self) -> bool:
        """Whether its clock differs from ours by more than the time of an answer explains."""
        return self.state == "ok" and abs(self.ahead) > _CLOCK_TOLERANCE


class PeerBook:
    """Peers in Redis. A peer's record is a hint: a lost update costs one unnecessary question."""

    def __init__(self, store: PeerStore, clock: Clock, max_peers: int) -> None:
        self._store = store
        self._clock = clock
        self._max_peers = max_peers

    def all(self) -> list[Peer]:
        """Every peer and candidate, by URL."""
        return sorted((Peer(**record) for record in self._store.all()), key=lambda peer: peer.url)

    def approved(self) -> list[Peer]:
        """The peers that the operator registered."""
        return [peer for peer in self.all() if peer.approved]

    def due(self) -> list[Peer]:
        """Approved peers whose pause is over.

        A pause that seems longer than the longest was noted before a clock was set back, and counts as over.
        """
        now = self._clock.now()
        return [peer for peer in self.approved() if not now < peer.next_try <= now + _LIARS_LONGEST_PAUSE]

    def get(self, url: str) -> Peer | None:
        record = self._store.get(url)
        return None if record is None else Peer(**record)

    def add(self, *urls: str) -> None:
        """Register peers, or approve candidates. Repeating it is harmless and ends any pause.

        Raises:
            PolicyError: `too_many_peers`. None is registered.
        """
        known = {peer.url: peer for peer in self.approved()}
        records = [replace(known.get(url, Peer(url)), failures=0, next_try=0.0) for url in dict.fromkeys(urls)]
        if records and not self._write("peers", self._max_peers, records):
            raise self._too_many()

    def require_room(self, urls: Sequence[str]) -> None:
        """Refuse early what `add` would refuse, before any of them is asked.

        Raises:
            PolicyError: `too_many_peers`.
        """
        known = {peer.url for peer in self.approved()}
        if len(known | set(urls)) > max(self._max_peers, len(known)):
            raise self._too_many()

    def learn(self, urls: Iterable[str]) -> None:
        """Note peers of peers as candidates, as far as there is room."""
        records = [Peer(url, state="candidate") for url in islice(dict.fromkeys(urls), MAX_CANDIDATES * 4)]
        if records:
            self._write("candidates", MAX_CANDIDATES, records)

    def remove(self, url: str) -> bool:
        """Forget a peer. Returns whether it was known."""
        return self._store.remove(url)

    def answered(
        self, url: str, height: int, tip: str, chainwork: int, time: float | None = None, *, reason: str = ""
    ) -> None:
        """Note what a peer claims, and the time by its clock. A claim proves nothing, so the failures stay counted.

        Args:
            reason: what is to be said of the peer although it answers; it is logged when it changes.
        """
        known = self.get(url)
        if known is not None:
            state: State = "ok" if known.failures == 0 else known.state
            now = self._clock.now()
            ahead = 0.0 if time is None else round(time - now, 1)
            claimed = replace(known, height=height, tip=tip, chainwork=chainwork, ahead=ahead)
            if reason and known.reason != reason:
                _log.warning("peer_differs", peer=url, reason=reason)
            told = reason if state == "ok" else known.reason
            self._update(replace(claimed, state=state, seen_at=now, reason=told))

    def idle(self, url: str) -> None:
        """Note that a peer claims no better chain, so that there is nothing to prove. `broken` stays as it is."""
        known = self.get(url)
        if known is not None and (known.failures or known.state != "ok"):
            self._update(replace(known, state="ok", failures=0, next_try=0.0, reason=""))

    def proved(self, url: str) -> None:
        """Note that a peer has delivered what it claimed."""
        known = self.get(url)
        if known is not None and (known.failures or known.broken or known.state != "ok"):
            self._update(replace(known, state="ok", failures=0, next_try=0.0, reason="", broken=0))

    def not_asked(self, url: str, reason: str) -> None:
        """Note that this node's own proxy failed, so that the peer could not be asked. That is no failure of the peer:
        it gets no pause, and what was held against it before stays.
        """
        known = self.get(url)
        if known is not None and known.failures == 0 and (known.state, known.reason) != ("unasked", reason):
            self._update(replace(known, state="unasked", reason=reason))

    def failed(self, url: str, state: State, reason: str, *, broken: bool = False) -> None:
        """Note a failure. The pause doubles with each failure in a row, and is longer for a liar.

        Args:
            broken: the peer had claimed a better chain. Such failures add up until it delivers a better chain, whatever
                it claims in between.
        """
        known = self.get(url)
        if known is None:
            return
        failures, unkept = known.failures + 1, known.broken + broken
        first, longest = (_LIARS_PAUSE, _LIARS_LONGEST_PAUSE) if state in _BLAMED else (_FIRST_PAUSE, _LONGEST_PAUSE)
        pause = min(first * 2 ** min(max(failures, unkept) - 1, 10), longest)
        until = self._clock.now() + pause
        self._update(replace(known, state=state, reason=reason, failures=failures, next_try=until, broken=unkept))

    # --- announcements ---

    def hear(self, url: str, block_hash: str) -> bool:
        """Note that a peer is said to have a block. Returns whether a job must be enqueued for it."""
        return self._store.hear(url, block_hash, self._clock.now(), SAME_NEWS_SECONDS)

    def anything_heard(self) -> bool:
        """Whether a peer is said to have a block and has not been asked since."""
        return self._store.anything_heard()

    def take_heard(self) -> list[str]:
        """The URLs of the peers that are said to have a new block. They count as asked from now on."""
        return self._store.take_heard(self._clock.now())

    def pace(self, urls: Sequence[str]) -> None:
        """Wait until all of these peers may be asked for their tips: each once in `ASK_SECONDS`, by all processes."""
        if urls:
            wait = self._store.pace(urls, self._clock.now(), ASK_SECONDS)
            if wait > 0:
                self._clock.sleep(wait)

    def _too_many(self) -> PolicyError:
        return PolicyError("too_many_peers", f"A node has at most {self._max_peers} peers.", field="nodes")

    def _update(self, peer: Peer) -> None:
        """Save, unless the operator removed the peer while it was asked."""
        self._store.update(peer.url, asdict(peer))

    def _write(self, kind: Literal["peers", "candidates"], limit: int, peers: Iterable[Peer]) -> bool:
        return self._store.add(kind, limit, [(peer.url, asdict(peer)) for peer in peers])
