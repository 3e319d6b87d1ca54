"""Snapshots in Redis: the tip and the mempool as they were at one moment. What is done with them is in
services/development/going_back.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.errors import LedgerDiffers, PolicyError, Unfinished
from services.store.base import NodeStore

# Snapshots that are kept; then the oldest goes. Most bytes of one mempool, and of all. A script copies a
# mempool, and for 16 MiB that took some 120 ms.
MOST, MOST_BYTES, ALL_BYTES = 1000, 8 * 2**20, 64 * 2**20
# Fields of a snapshot itself; all others are kept for other parts of the node.
OWN_FIELDS = frozenset({"tip", "height", "at", "transactions", "bytes"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state at one moment. Its mempool stays in the store."""

    id: int
    tip: str  # hash
    height: int
    fields: Mapping[str, str]  # what other parts of the node keep with it


class SnapshotStore(NodeStore):
    """The snapshots of one node."""

    def take(self, now: float, fields: Mapping[str, str]) -> int:
        """Take a snapshot of the tip and the mempool. Returns its id: they count from 0.

        Args:
            fields: kept with it under these names.

        Raises:
            PolicyError: `snapshot_too_large`: the mempool has more than MOST_BYTES.
            Unfinished: the journal of a reorganisation must be finished first.
            LedgerDiffers: the stored state is marked as wrong.
        """
        assert not OWN_FIELDS & fields.keys(), "a name that the snapshot itself uses"
        args: list[Any] = [now, MOST, MOST_BYTES, ALL_BYTES]
        for name, value in fields.items():
            args += [name, value]
        outcome, *rest = self._scripts.run("take_snapshot", [self.keys.prefix], args)
        if outcome == b"unfinished":
            raise Unfinished("A reorganisation must be finished first.")
        if outcome == b"differs":
            raise LedgerDiffers(rest[0].decode())
        if outcome == b"large":
            raise PolicyError(
                "snapshot_too_large",
                f"The mempool has {int(rest[0])} bytes, and a snapshot keeps at most {MOST_BYTES}.",
            )
        return int(rest[0])

    def get(self, snapshot_id: int) -> Snapshot | None:
        """A snapshot; None if there is none with this id (any more)."""
        found = self._redis.hgetall(self.keys.snapshot(str(snapshot_id)))
        if not found:
            return None
        values = {name.decode(): value.decode() for name, value in found.items()}
        others = {name: value for name, value in values.items() if name not in OWN_FIELDS}
        return Snapshot(snapshot_id, values["tip"], int(values["height"]), others)
