"""Named admin tokens and the audit log in Redis. What they are for is in services/operators/tokens.py."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from services.store.base import NodeStore

# Entries that are kept, about: Redis removes them in groups.
MOST_ACTS = 10_000
MOST_REFUSED = 1_000


class TokenStore(NodeStore):
    """The tokens and the audit log of one node."""

    def add(self, compared: str, digest: str, token: Mapping[str, Any], most: int) -> Literal["done", "taken", "full"]:
        """Add a token, if none has its name and there are fewer than `most`.

        Args:
            compared: its name in the form in which no two may be equal.
            digest: SHA-256 of its secret, in hex.
            token: name, scopes, created_at.
        """
        args = [compared, digest, json.dumps(token), most]
        outcome = self._scripts.run("set_token", [self.keys.prefix], args)
        return cast(Literal["done", "taken", "full"], outcome.decode())

    def revoke(self, compared: str) -> bool:
        """Forget a token by its name as it is compared. Returns whether there was one."""
        return bool(self._scripts.run("set_token", [self.keys.prefix], [compared, "", "", 0]) == b"done")

    def all(self) -> list[dict[str, Any]]:
        """The tokens, each without its digest."""
        return [json.loads(text) for text in self._redis.hgetall(self.keys.tokens).values()]

    def find(self, digest: str) -> dict[str, Any] | None:
        """The token whose secret has this SHA-256 (hex); None if there is none."""
        found = self._redis.hget(self.keys.tokens, digest)
        return None if found is None else dict(json.loads(found))

    def note(self, act: Mapping[str, Any], *, refused: bool) -> None:
        """Add an entry to the audit log."""
        where, most = ("refused-acts", MOST_REFUSED) if refused else ("acts", MOST_ACTS)
        self._scripts.run("note_act", [self.keys.prefix], [where, most, json.dumps(act)])

    def acts(self, count: int, *, refused: bool) -> Sequence[dict[str, Any]]:
        """The last entries of the audit log, the newest first."""
        found = self._redis.xrevrange(self.keys.refused_acts if refused else self.keys.acts, count=count)
        return [json.loads(fields[b"act"]) for _, fields in found]
