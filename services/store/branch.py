"""Branches in Redis: staging verified blocks, swapping them in, and finishing what a swap leaves to be done."""

import json
from collections.abc import Iterable, Mapping, Sequence
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
# Transactions of one sender per slice, and slices sent together.
REQUEUED = 400
TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Journal:
    """What a swap has changed, for those who finish its indexes and mempool."""

    beginning: str  # of its text, with its id: every slice compares it
    fork: int  # height of the last block that both branches have
    detached: tuple[str, ...]  # hashes, the old tip first
    attached: tuple[str, ...]  # hashes, oldest first


@dataclass(frozen=True, slots=True)
class Returning:
    """A detached transaction, and the place that it had."""

    transaction: Transaction
    place: str  # "height:position"


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
        """Make a staged branch the chain: "swapped", "moved", "missing" or "unfinished"."""
        tip = swap.new_tip
        # The two tips say all that the rest says. They come first, so that slices can compare the beginning only.
        journal = json.dumps(
            {
                "id": f"{swap.old_tip.hash}:{tip.hash}",
                "fork": swap.fork,
                "detached": list(swap.detached),
                "attached": list(swap.attached),
            }
        )
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
        beginning = found.decode().partition(",")[0]
        return Journal(beginning, value["fork"], tuple(value["detached"]), tuple(value["attached"]))

    def reindex(self, journal: Journal, detached: list[Any], attached: list[Any]) -> None:
        """Take detached transactions out of the index and put attached ones in; each: id, place, id, place, …"""
        calls: list[list[Any]] = []
        for start in range(0, len(attached), SLICE):
            part = attached[start : start + SLICE]
            calls.append([journal.beginning, 0, len(part), *part])
        for start in range(0, len(detached), SLICE):
            part = detached[start : start + SLICE]
            calls.append([journal.beginning, len(part), *part, 0])
        self._run("reindex", calls)

    def rehistory(self, journal: Journal, histories: Iterable[tuple[str, list[str]]]) -> None:
        """Give addresses the history that the branch gives them: (address, places in the branch, oldest first)."""
        args: list[Any] = []
        for address, places in histories:
            args += [1 + len(places), address, *places]
            if len(args) > SLICE:
                self._run("rehistory", [[journal.beginning, journal.fork, *args]])
                args = []
        if args:
            self._run("rehistory", [[journal.beginning, journal.fork, *args]])

    def requeue(self, journal: Journal, senders: Mapping[str, Sequence[Returning]], now: float) -> None:
        """Bring the mempool queues of some senders in line with the branch; per sender, what was detached."""
        calls: list[list[Any]] = []
        for sender, detached in senders.items():
            for start in range(0, max(len(detached), 1), REQUEUED):
                args: list[Any] = [journal.beginning, now, sender]
                for item in detached[start : start + REQUEUED]:
                    of = item.transaction
                    fee = f"{MAX_AMOUNT - of.fee:064x}"
                    args += [of.id, bytes.fromhex(of.id), of.nonce, fee, item.place, of.canonical]
                calls.append(args)
        self._run("requeue", calls)

    def _run(self, name: str, calls: Sequence[list[Any]]) -> None:
        """Run a script with each list of arguments. Each run is a slice by itself; some travel together."""
        for start in range(0, len(calls), TOGETHER):
            self._scripts.run_many(name, [self._keys.prefix], list(calls[start : start + TOGETHER]))

    def finish(self, journal: Journal) -> None:
        """The journal is done."""
        self._scripts.run("finish", [self._keys.prefix], [journal.beginning])

    def forget(self, before: float, limit: int) -> int:
        """Delete blocks that were staged before a time and never became part of the chain; how many."""
        return int(self._scripts.run("forget", [self._keys.prefix], [before, limit]))
