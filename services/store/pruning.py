"""Pruning: removing the bodies and undo records of blocks that lie deep below the tip, pack by pack (QUARRY_KEEP).

Each step is one script, so a process that is killed leaves nothing half done. Headers, ids, the indexes and the ledger
stay, and the genesis block stays whole, since every reader of a chain begins with it (docs/adr/0020). So does what
payouts need of a body: the reward of a block whose payout is due, and payments for blocks that were restored from a
backup.
"""

import json

from services.store.base import NodeStore
from services.store.pack_form import BlockRecords
from services.store.packing import PackStore
from services.store.packs import full_hash, hash_of
from services.store.payouts import MADE, PAYMENT_DATA, PayoutStore, Reward, encode_reward
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
        remains = self._remains(hashes, blocks)
        args: list[object] = [first, last, before.changes, repairs, keep, PRUNED_SCHEMA, now, genesis, len(remains)]
        args += [*remains, *hashes]
        return len(hashes) if self._scripts.run("prune", [self.keys.prefix], args) == b"pruned" else 0

    def _remains(self, hashes: list[bytes], blocks: list[BlockRecords]) -> list[str]:
        """Block, field and value of what payouts need of these bodies (`Remains`), one after the other."""
        store = PayoutStore(self._redis, self.keys)
        due = {block: height for height, block in store.due(2**53)}
        restored = store.restored() if due else 0
        # Only of blocks that were restored, payments may be on the chain that no plan knows (services/payouts).
        known = [block for block, height in due.items() if height <= restored]
        rewards = dict(zip(known, store.rewards(known), strict=True))
        values: list[str] = []
        for name, block in zip((item.decode() for item in hashes), blocks, strict=True):
            text = block.text or b""
            if name not in due and not (known and PAYMENT_DATA.encode() in text):
                continue
            first, *others = json.loads(text)["transactions"]
            if name in due:
                rewards[name] = reward = Reward(first["recipient"], first["amount"])
                values += [name, "reward", encode_reward(reward)]
            for fields in others if known else ():
                data = fields.get("data") or ""
                payer = rewards.get(data.removeprefix(PAYMENT_DATA)) if data.startswith(PAYMENT_DATA) else None
                if payer is not None and fields.get("sender") == payer.recipient:
                    values += [data.removeprefix(PAYMENT_DATA), MADE + fields["recipient"], json.dumps(fields)]
        return values


def _are_whole(hashes: list[bytes], blocks: list[BlockRecords]) -> bool:
    """Whether the blocks can be read, and their headers name the hashes."""
    return list(map(hash_of, blocks)) == hashes and all(block.text is not None for block in blocks)
