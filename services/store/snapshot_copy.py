"""All snapshots as values, and values as snapshots: for state files (services/development/snapshots_part.py)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.store.base import NodeStore
from services.store.snapshots import OWN_FIELDS

_MEMBER = 140  # characters of an order member, which count as bytes of a snapshot


@dataclass(frozen=True, slots=True)
class WholeSnapshot:
    """A snapshot with its mempool."""

    id: int
    tip: str  # hash
    height: int
    at: str  # Unix seconds, as it was written
    fields: Mapping[str, str]  # what other parts of the node keep with it
    pool: Mapping[str, str]  # order member → entry


class SnapshotCopy(NodeStore):
    """The snapshots of one node."""

    def read(self) -> tuple[int, list[WholeSnapshot]]:
        """The id that the next snapshot gets, and all that are kept, oldest first."""
        totals = self._redis.hgetall(self.keys.snapshot_totals)
        names = [name.decode() for name in self._redis.zrange(self.keys.snapshots, 0, -1)]
        found = []
        for name in names:
            values = _text(self._redis.hgetall(self.keys.snapshot(name)))
            if values:
                pool = _text(self._redis.hgetall(self.keys.snapshot_pool(name)))
                others = {field: value for field, value in values.items() if field not in OWN_FIELDS}
                snapshot = WholeSnapshot(int(name), values["tip"], int(values["height"]), values["at"], others, pool)
                found.append(snapshot)
        return int(totals.get(b"next", b"0")), found

    def write(self, next_id: int, snapshots: Sequence[WholeSnapshot]) -> None:
        """Write snapshots into a store that has none."""
        pipeline = self._redis.pipeline(transaction=True)
        total = 0
        for item in snapshots:
            size = sum(len(entry.encode()) for entry in item.pool.values()) + _MEMBER * len(item.pool)
            own = {"tip": item.tip, "height": str(item.height), "at": item.at, "transactions": str(len(item.pool))}
            for field, value in {**own, "bytes": str(size), **item.fields}.items():
                pipeline.hset(self.keys.snapshot(str(item.id)), field, value)
            for member, entry in item.pool.items():
                pipeline.hset(self.keys.snapshot_pool(str(item.id)), member, entry)
            pipeline.zadd(self.keys.snapshots, {str(item.id): item.id})
            total += size
        pipeline.hset(self.keys.snapshot_totals, "next", str(next_id))
        pipeline.hset(self.keys.snapshot_totals, "bytes", str(total))
        pipeline.execute()


def _text(values: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in values.items()}
