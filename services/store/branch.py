"""Branches in Redis: staging verified blocks, swapping them in, and finishing what a swap leaves to be done."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.store.chain import ledger_lists
from services.store.keys import Keys
from services.store.port import Store
from services.store.records import Tip, encode_entries, encode_header
from services.store.scripts import Scripts
from shared.amounts import MAX_AMOUNT
from shared.block import Block
from shared.ledger import Entries
from shared.transaction import Transaction

# Arguments per slice: no slice holds Redis for more than some milliseconds.
SLICE = 1000


@dataclass(frozen=True, slots=True)
class Journal:
    """What a swap has changed, for those who finish its indexes and mempool."""

    text: str  # as stored: every slice compares it
    fork: int  # height of the last block that both branches have
    detached: tuple[str, ...]  # hashes, the old tip first
    attached: tuple[str, ...]  # hashes, oldest first


@dataclass(frozen=True, slots=True)
class Swap:
    """A branch that is verified, staged and better than the chain it was verified against."""

    old_tip: Tip
    fork: int
    detached: Sequence[str]  # hashes, the old tip first
    attached: Sequence[str]  # hashes, oldest first
    new_tip: Tip
    ledger: Entries  # net: every entry that either branch touches, as it is after the swap


class BranchStore:
    """Staging and swapping."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._scripts = Scripts(redis)

    def stage(self, block: Block, before: Entries, chainwork: int, now: float) -> None:
        """Store a verified block under its hash. It is not on the chain yet, and forgotten if it never gets there."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(self._keys.staged, {block.hash: now})
        pipeline.hset(self._keys.blocks, block.hash, block.canonical)
        pipeline.hset(self._keys.headers, block.hash, encode_header(block, chainwork))
        pipeline.hset(self._keys.undo, block.hash, encode_entries(before))
        pipeline.hset(self._keys.ids, block.hash, bytes.fromhex("".join(item.id for item in block.transactions)))
        pipeline.execute()

    def swap(self, swap: Swap) -> str:
        """Make a staged branch the chain: "swapped", "moved" or "unfinished"."""
        tip = swap.new_tip
        journal = json.dumps({"fork": swap.fork, "detached": list(swap.detached), "attached": list(swap.attached)})
        args: list[Any] = [
            swap.old_tip.hash,
            swap.fork,
            tip.hash,
            tip.height,
            tip.timestamp,
            tip.chainwork,
            tip.supply,
            journal,
        ]
        for values in [list(swap.attached), *ledger_lists(swap.ledger)]:
            args.append(len(values))
            args += values
        return bytes(self._scripts.run("swap", [self._keys.prefix], args)).decode()

    def journal(self) -> Journal | None:
        """The swap that is not finished, if there is one."""
        found = self._redis.get(self._keys.journal)
        if found is None:
            return None
        value = json.loads(found)
        return Journal(found.decode(), value["fork"], tuple(value["detached"]), tuple(value["attached"]))

    def reindex(self, journal: Journal, detached: list[Any], attached: list[Any]) -> None:
        """Take detached transactions out of the index and put attached ones in; each: id, place, id, place, …"""
        for start in range(0, len(detached), SLICE):
            part = detached[start : start + SLICE]
            self._scripts.run("reindex", [self._keys.prefix], [journal.text, len(part), *part, 0])
        for start in range(0, len(attached), SLICE):
            part = attached[start : start + SLICE]
            self._scripts.run("reindex", [self._keys.prefix], [journal.text, 0, len(part), *part])

    def rehistory(self, journal: Journal, places: dict[str, list[str]]) -> None:
        """Give addresses the history that the branch gives them."""
        args: list[Any] = []
        for address, items in places.items():
            args += [1 + len(items), address, *items]
            if len(args) > SLICE:
                self._scripts.run("rehistory", [self._keys.prefix], [journal.text, journal.fork, *args])
                args = []
        if args:
            self._scripts.run("rehistory", [self._keys.prefix], [journal.text, journal.fork, *args])

    def requeue(self, journal: Journal, sender: str, detached: Sequence[Transaction], now: float) -> None:
        """Bring one sender's mempool queue in line with the branch."""
        args: list[Any] = [journal.text, now, sender]
        for item in detached:
            args += [item.id, item.nonce, f"{MAX_AMOUNT - item.fee:064x}", item.canonical]
        self._scripts.run("requeue", [self._keys.prefix], args)

    def finish(self, journal: Journal) -> None:
        """The journal is done."""
        self._scripts.run("finish", [self._keys.prefix], [journal.text])

    def abandoned(self, before: float, limit: int) -> list[str]:
        """Hashes of blocks that were staged before a time and never became part of the chain."""
        found = self._redis.zrange(self._keys.staged, "-inf", before, byscore=True, offset=0, num=limit)
        return [item.decode() for item in found]

    def forget(self, hashes: Sequence[str]) -> None:
        """Delete staged blocks."""
        if hashes:
            pipeline = self._redis.pipeline(transaction=True)
            for name in (self._keys.blocks, self._keys.headers, self._keys.undo, self._keys.ids):
                pipeline.hdel(name, *hashes)
            pipeline.zrem(self._keys.staged, *hashes)
            pipeline.execute()
