"""Resolutions that clients ask for and wait for, in Redis: how many were asked for, and the last that was finished."""

import json
from dataclasses import asdict, dataclass

from services.store.base import NodeStore


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a resolution."""

    number: int  # of the last request that it answers
    replaced: bool  # whether our chain changed


class ResolutionStore(NodeStore):
    """The resolutions of one node."""

    def ask(self) -> int:
        """Add a request. Returns its number."""
        return self._redis.incr(self.keys.resolve_asked)

    def asked(self) -> int | None:
        """The number of the last request, or None."""
        found = self._redis.get(self.keys.resolve_asked)
        return None if found is None else int(found)

    def done(self) -> Answer | None:
        """The last answer, or None."""
        found = self._redis.get(self.keys.resolve_done)
        return None if found is None else Answer(**json.loads(found))

    def finish(self, answer: Answer) -> None:
        """Note what came of a resolution."""
        self._redis.set(self.keys.resolve_done, json.dumps(asdict(answer)))
