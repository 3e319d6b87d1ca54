"""The peers of one node in Redis: their records, what is announced in their names, and when they may be asked."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from services.store.base import NodeStore

Record = Mapping[str, Any]


class PeerStore(NodeStore):
    """Peers and candidates by URL. What a record means is in services/peers/book.py."""

    def all(self) -> list[dict[str, Any]]:
        """Every record, in any order."""
        return [json.loads(text) for text in self._redis.hgetall(self.keys.peers).values()]

    def get(self, url: str) -> dict[str, Any] | None:
        text = self._redis.hget(self.keys.peers, url)
        return None if text is None else json.loads(text)

    def add(self, kind: Literal["peers", "candidates"], limit: int, records: Iterable[tuple[str, Record]]) -> bool:
        """Write records of peers or of candidates, each with its URL, as far as the limit of their kind allows.

        Returns:
            False if there would be more than `limit` peers: then none is written. Of candidates those that are unknown
            are written while there is room.
        """
        pairs = [text for url, record in records for text in (url, json.dumps(record))]
        return bool(self._scripts.run("add_peers", [self.keys.prefix], [kind, limit, *pairs]))

    def update(self, url: str, record: Record) -> None:
        """Replace a record, unless the peer was removed meanwhile."""
        self._scripts.run("update_peer", [self.keys.prefix], [url, json.dumps(record)])

    def remove(self, url: str) -> bool:
        """Forget a peer and what was heard of it. Returns whether it was known."""
        known = bool(self._redis.hdel(self.keys.peers, url))
        self._redis.hdel(self.keys.heard, url)
        self._redis.hdel(self.keys.asked, url)
        self._redis.hdel(self.keys.header_ends, url)
        return known

    def hear(self, url: str, block_hash: str, now: float, same_seconds: float) -> bool:
        """Note that a peer is said to have a block. Returns whether to enqueue a job, which then calls `take_heard`.

        Args:
            same_seconds: for how long the same block of the same peer is ignored.
        """
        args = [url, block_hash, now, same_seconds]
        return bool(self._scripts.run("hear", [self.keys.prefix], args))

    def anything_heard(self) -> bool:
        """Whether a peer is said to have a block and has not been asked since."""
        return any(text.startswith(b"waiting") for text in self._redis.hgetall(self.keys.heard).values())

    def take_heard(self, now: float) -> list[str]:
        """The URLs of the peers that are said to have a block; they count as asked from now on."""
        found = self._scripts.run("take_heard", [self.keys.prefix], [now])
        return sorted(url.decode() for url in found)

    def pace(self, urls: Sequence[str], now: float, apart: float) -> float:
        """Reserve the next time at which each of these peers may be asked; in how many seconds all of them may be.

        Args:
            apart: least seconds between two questions to one peer.
        """
        return int(self._scripts.run("pace", [self.keys.prefix], [now, apart, *urls])) / 1000
