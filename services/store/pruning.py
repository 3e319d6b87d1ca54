"""Pruning: removing the bodies and undo records of blocks that lie deep below the tip, pack by pack (QUARRY_KEEP).

Each step is one script, so a process that is killed leaves nothing half done. Headers, ids, the indexes and the ledger
stay, and the genesis block stays whole, since every reader of a chain begins with it (docs/adr/0020).
"""

from services.store.base import NodeStore
from services.store.pack_form import BlockRecords
from services.store.packing import PackStore
from services.store.packs import full_hash, hash_of
from services.store.schema import PRUNED_SCHEMA
from services.store.stored import StoredRecords


class PruneStore(NodeStore):
    """Removes bodies of one node's old blocks."""

    def prune_next(self, keep: int, now: float) -> int:
        """Remove the bodies of the lowest pack that still has them, if all of its blocks lie `keep` or deeper.

        The last `keep` blocks of the chain are never touched. Safe at any time, also if two processes do it at once.

        Args:
            keep: blocks, the tip included.
            now: Unix seconds.

        Returns:
            how many blocks there were: 0 if there are too few, the chain is changing, or a block is damaged, which the
            checks report.
        """
        before = PackStore(self._redis, self.keys).totals()
        tip = self._redis.hgetall(self.keys.tip)
        first = before.pruned + 1
        named = self._redis.zrange(self.keys.pack_starts, first, "+inf", byscore=True, offset=0, num=2)
        starts = list(map(int, named))
        last = starts[1] - 1 if len(starts) > 1 else before.height
        deepest = int(tip.get(b"height", b"0")) - keep
        if not starts or starts[0] != first or not first <= last <= deepest or before.held > now:
            return 0
        hashes = [full_hash(item) for item in self._redis.lrange(self.keys.heights, first - 1, last - 1)]
        blocks = StoredRecords(self._redis, self.keys).blocks(hashes, first)
        if not _are_whole(hashes, blocks):
            return 0
        repairs = tip.get(b"digest", b"").rpartition(b":")[2]
        genesis = blocks[0].text or b"" if first == 1 else b""
        args: list[object] = [first, last, before.changes, repairs, keep, PRUNED_SCHEMA, now, genesis, *hashes]
        return len(hashes) if self._scripts.run("prune", [self.keys.prefix], args) == b"pruned" else 0


def _are_whole(hashes: list[bytes], blocks: list[BlockRecords]) -> bool:
    """Whether the blocks can be read, and their headers name the hashes."""
    return list(map(hash_of, blocks)) == hashes and all(block.text is not None for block in blocks)
