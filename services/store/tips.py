"""Branches that this node knows and has not adopted, in Redis: their ends, and blocks that were refused."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from services.store.base import NodeStore

# Refused blocks that are kept, and the largest body that is kept of one: 4 MiB in all.
MOST_REFUSED = 64
MOST_BODY = 65_536  # bytes
# Staged blocks that are looked at, the newest.
_MOST_STAGED = 500


@dataclass(frozen=True, slots=True)
class Refused:
    """A block with proof of work that breaks a rule."""

    hash: str
    header: dict[str, Any]  # as `Header.to_object` gives it
    chainwork: int  # of its branch, with it
    fork: str  # hash of the last block of our chain before it, when it was refused
    code: str  # of the rule
    reason: str
    peer: str  # URL of the peer that served it
    at: float  # Unix seconds
    size: int | None  # bytes of the canonical block; None: only its header was seen


@dataclass(frozen=True, slots=True)
class HeaderEnd:
    """The end of a branch whose headers a peer has proved."""

    hash: str
    height: int
    chainwork: int
    fork: str  # hash of the last block of our chain before it, when it was noted
    at: float  # Unix seconds


class TipStore(NodeStore):
    """The ends of one node's branches."""

    def ends(self) -> dict[str, float]:
        """Tips that reorganisations detached, and the newest staged blocks → when that was noted, Unix seconds.

        Some may be on the chain, and some may have been extended since.
        """
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zrange(self.keys.branch_ends, 0, -1, withscores=True)
        pipeline.zrange(self.keys.staged, -_MOST_STAGED, -1, withscores=True)
        detached, staged = pipeline.execute()
        return {name.decode(): float(at) for name, at in (*staged, *detached)}

    def keep_refused(self, refused: Refused, block: bytes) -> bool:
        """Keep a refused block, and its canonical body unless it is large. Returns whether it is new."""
        fields = json.dumps({**asdict(refused), "chainwork": str(refused.chainwork)})
        record = f"{refused.at:.6f} {refused.peer} {fields}"
        body = block if len(block) <= MOST_BODY else b""
        return bool(self._scripts.run("keep_refused", [self.keys.prefix], [refused.hash, record, body, MOST_REFUSED]))

    def refused(self) -> list[Refused]:
        """The refused blocks that are kept, in no order."""
        found = (json.loads(text.split(b" ", 2)[2]) for text in self._redis.hgetall(self.keys.refused).values())
        return [Refused(**{**item, "chainwork": int(item["chainwork"])}) for item in found]

    def refused_block(self, block_hash: str) -> bytes | None:
        """The canonical body of a refused block; None if it is not kept."""
        return self._redis.hget(self.keys.refused_blocks, block_hash)

    def note_headers(self, url: str, end: HeaderEnd) -> None:
        """Note the end of a branch of headers that a peer has proved, in place of its last one."""
        text = json.dumps({**asdict(end), "chainwork": str(end.chainwork)})
        self._redis.hset(self.keys.header_ends, url, text)

    def forget_headers(self, url: str) -> None:
        """Forget the end of headers that was noted for a peer."""
        self._redis.hdel(self.keys.header_ends, url)

    def header_ends(self) -> dict[str, HeaderEnd]:
        """By peer, the end of the branch that it last proved and that was not adopted then."""
        found = {url.decode(): json.loads(text) for url, text in self._redis.hgetall(self.keys.header_ends).items()}
        return {url: HeaderEnd(**{**item, "chainwork": int(item["chainwork"])}) for url, item in found.items()}
