"""The peers of one node: whom to ask, what they last said, and whom to leave alone for a while."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from services.errors import PolicyError
from services.ports import Clock
from services.store.keys import Keys
from services.store.port import Store
from services.store.scripts import Scripts

State = Literal["new", "ok", "unreachable", "lying", "other_chain", "candidate"]

# Learnt from peers: kept for the operator to approve, never asked.
MAX_CANDIDATES = 64
# Seconds. A partition is found healed within the longest pause, even if nobody mines.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0
_LIARS_PAUSE = 30.0
# The answers of a run are noted when the last has come, two seconds after the first at most.
_CLOCK_TOLERANCE = 5.0
_LIARS_LONGEST_PAUSE = 600.0


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
    reason: str = ""  # why it is not ok, one sentence
    seen_at: float = 0.0  # its last good answer
    ahead: float = 0.0  # seconds by which its clock was ahead of ours then, to the length of an answer

    @property
    def approved(self) -> bool:
        return self.state != "candidate"

    @property
    def is_off(self) -> bool:
        """Whether its clock differs from ours by more than the time that answers take can explain."""
        return self.state == "ok" and abs(self.ahead) > _CLOCK_TOLERANCE


class PeerBook:
    """Peers in Redis. A peer's record is a hint: a lost update costs one needless question."""

    def __init__(self, redis: Store, keys: Keys, clock: Clock, max_peers: int) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._keys = keys
        self._clock = clock
        self._max_peers = max_peers

    def all(self) -> list[Peer]:
        """Every peer and candidate, by URL."""
        found = self._redis.hgetall(self._keys.peers)
        return sorted((Peer(**json.loads(text)) for text in found.values()), key=lambda peer: peer.url)

    def approved(self) -> list[Peer]:
        """The peers that the operator registered."""
        return [peer for peer in self.all() if peer.approved]

    def due(self) -> list[Peer]:
        """Approved peers that are not to be left alone just now.

        A pause that is longer than any was begun by a clock that has been set back since, and is over.
        """
        now = self._clock.now()
        return [peer for peer in self.approved() if not now < peer.next_try <= now + _LIARS_LONGEST_PAUSE]

    def get(self, url: str) -> Peer | None:
        text = self._redis.hget(self._keys.peers, url)
        return None if text is None else Peer(**json.loads(text))

    def add(self, *urls: str) -> None:
        """Register peers, or approve candidates. Repeating it is harmless and ends any pause.

        Raises:
            PolicyError: `too_many_peers`. None is registered.
        """
        known = {peer.url: peer for peer in self.approved()}
        if len(known.keys() | set(urls)) > max(self._max_peers, len(known)):
            raise PolicyError("too_many_peers", f"A node has at most {self._max_peers} peers.", field="nodes")
        for url in urls:
            self._save(replace(known.get(url, Peer(url)), failures=0, next_try=0.0))

    def learn(self, urls: Iterable[str]) -> None:
        """Note peers of peers as candidates."""
        known = {peer.url: peer for peer in self.all()}
        room = MAX_CANDIDATES - sum(1 for peer in known.values() if not peer.approved)
        for url in list(dict.fromkeys(url for url in urls if url not in known))[: max(room, 0)]:
            self._save(Peer(url, state="candidate"))

    def remove(self, url: str) -> bool:
        """Forget a peer; whether it was known."""
        return bool(self._redis.hdel(self._keys.peers, url))

    def answered(self, url: str, height: int, tip: str, chainwork: int, time: float | None = None) -> None:
        """Note what a peer claims, the time by its clock too. Anybody can claim: it ends no row of failures."""
        known = self.get(url)
        if known is not None:
            state: State = "ok" if known.failures == 0 else known.state
            now = self._clock.now()
            ahead = 0.0 if time is None else round(time - now, 1)
            claimed = replace(known, height=height, tip=tip, chainwork=chainwork, ahead=ahead)
            self._update(replace(claimed, state=state, seen_at=now))

    def proved(self, url: str) -> None:
        """Note that a peer has delivered what it claimed, or claims nothing that it would have to prove."""
        known = self.get(url)
        if known is not None and (known.failures or known.state != "ok"):
            self._update(replace(known, state="ok", failures=0, next_try=0.0, reason=""))

    def failed(self, url: str, state: State, reason: str) -> None:
        """Note a failure; the pause doubles with each in a row, and is longer for a liar."""
        known = self.get(url)
        if known is None:
            return
        failures = known.failures + 1
        first, longest = (
            (_FIRST_PAUSE, _LONGEST_PAUSE) if state == "unreachable" else (_LIARS_PAUSE, _LIARS_LONGEST_PAUSE)
        )
        pause = min(first * 2 ** min(failures - 1, 10), longest)
        self._update(replace(known, state=state, reason=reason, failures=failures, next_try=self._clock.now() + pause))

    def _update(self, peer: Peer) -> None:
        """Save, unless the operator has removed the peer while it was asked."""
        self._scripts.run("update_peer", [self._keys.prefix], [peer.url, json.dumps(asdict(peer))])

    def _save(self, peer: Peer) -> None:
        self._redis.hset(self._keys.peers, peer.url, json.dumps(asdict(peer)))
