"""Branches in Redis: staging verified blocks, swapping them in, and the slices that finish a swap."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.errors import TipMoved
from services.ports import Store
from services.store.arguments import ledger_lists
from services.store.base import NodeStore
from services.store.chain import KEEP_SECONDS
from services.store.digest import account_term, allowance_term, header_term, ledger_sum, read_digest, sum_of
from services.store.keys import Keys
from services.store.packing import PackStore
from services.store.records import Tip, allowance_field, encode_entries, encode_header, fee_rank
from shared.block import Block
from shared.ledger import Entries
from shared.transaction import Transaction

# Ends of detached branches that are kept (services/store/tips.py).
MOST_ENDS = 64
# Arguments per slice, so that no slice holds Redis for more than some milliseconds.
SLICE = 1000
# How often a swap unpacks old blocks again that were packed meanwhile.
_UNPACKED = 3
# Transactions of one sender per slice, and slices sent together.
REQUEUED = 400
TOGETHER = 100


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What becomes of the mempool after a swap that was asked for (services/development), besides what always follows.

    After other swaps all detached transactions return to the mempool.
    """

    status: str  # of the records of the transactions that leave
    reason: str
    leaving: tuple[str, ...] | None = None  # ids that leave; None: all that are detached
    restores: bool = False  # the mempool becomes that of the snapshot; empty without one
    fields: Mapping[str, str] | None = None  # what other parts of the node kept with the snapshot

    def leaves(self, transaction_id: str) -> bool:
        """Whether a detached transaction leaves, unless the new chain or the snapshot holds it."""
        return self.leaving is None or transaction_id in self.leaving


@dataclass(frozen=True, slots=True)
class Journal:
    """What a swap has changed, for finishing its indexes and mempool."""

    beginning: str  # of its text, which holds its id: every slice compares it
    fork: int  # height of the last block that both branches have
    detached: tuple[str, ...]  # hashes, the old tip first
    attached: tuple[str, ...]  # hashes, oldest first
    aftermath: Aftermath | None = None  # given if the swap was asked for


@dataclass(frozen=True, slots=True)
class Returning:
    """A detached transaction, and its place on the branch that was left."""

    transaction: Transaction
    place: str  # "height:position"


@dataclass(frozen=True, slots=True)
class Swap:
    """A branch that is verified and staged, and better than the chain it was verified against, unless a developer asked
    for it. It may be empty: then the chain goes back to the fork point.
    """

    old_tip: Tip
    fork: int
    detached: Sequence[str]  # hashes, the old tip first
    attached: Sequence[str]  # hashes, oldest first
    new_tip: Tip
    ledger: Entries  # net: every entry that either branch touches, as it is after the swap
    aftermath: Aftermath | None = None
    asked: str = ""  # given with `aftermath`: makes the journal's id unique, though the same tips are swapped again
    snapshot: str = ""  # that is reverted to; "*": all snapshots go


class BranchStore(NodeStore):
    """The branches of one node."""

    def __init__(self, redis: Store, keys: Keys) -> None:
        super().__init__(redis, keys)
        self._packs = PackStore(redis, keys)

    def stage(self, block: Block, before: Entries, chainwork: int, now: float) -> None:
        """Store a verified block under its hash, not yet on the chain. `forget` deletes it if it never gets there."""
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zadd(self.keys.staged, {block.hash: now})
        pipeline.hset(self.keys.blocks, block.hash, block.canonical)
        pipeline.hset(self.keys.headers, block.hash, encode_header(block, chainwork))
        pipeline.hset(self.keys.undo, block.hash, encode_entries(before))
        pipeline.hset(self.keys.ids, block.hash, bytes.fromhex("".join(item.id for item in block.transactions)))
        pipeline.execute()

    def swap(self, swap: Swap, now: float) -> str:
        """Make a staged branch the chain. Returns what swap.lua does: "swapped", or why nothing was written.

        If blocks from the fork point on are packed, they are unpacked first. `now`: Unix seconds.

        Raises:
            TipMoved: they are packed again and again.
        """
        for _ in range(_UNPACKED):
            self._packs.unpack_above(swap.fork, now)
            outcome = self._swap(swap)
            if outcome != "packed":
                return outcome
        raise TipMoved("Old blocks were packed again while a branch was swapped in.")

    def _swap(self, swap: Swap) -> str:
        tip = swap.new_tip
        digest = self._digest_after(swap)
        if digest is None:
            return "missing"
        # The two tips determine everything else. They come first, so that slices need to compare the beginning only.
        value: dict[str, Any] = {
            "id": f"{swap.old_tip.hash}:{tip.hash}{swap.asked}",
            "fork": swap.fork,
            "detached": list(swap.detached),
            "attached": list(swap.attached),
        }
        if swap.aftermath is not None:
            value["aftermath"] = asdict(swap.aftermath)
        journal = json.dumps(value)
        args: list[Any] = [
            swap.old_tip.hash,
            swap.fork,
            tip.hash,
            tip.height,
            tip.timestamp,
            tip.chainwork,
            tip.supply,
            journal,
            swap.old_tip.digest,
            digest,
            swap.snapshot,
        ]
        for values in [list(swap.attached), *ledger_lists(swap.ledger)]:
            args.append(len(values))
            args += values
        return bytes(self._scripts.run("swap", [self.keys.prefix], args)).decode()

    def _digest_after(self, swap: Swap) -> str | None:
        """The digest of the state after a swap; "" if the tip has none. None: a block of the branch was forgotten.

        The terms of replaced entries are computed from what is stored, so that a falsified entry stays visible
        (services/store/digest.py). If the tip moves meanwhile, the script does nothing.
        """
        digest = read_digest(swap.old_tip.digest, swap.old_tip.hash)
        if digest is None:
            return ""
        gone = [
            *self._terms(self.keys.accounts, list(swap.ledger.accounts), account_term),
            *self._terms(self.keys.allowances, list(map(allowance_field, swap.ledger.allowances)), allowance_term),
        ]
        attached = self._header_terms(swap.fork, swap.attached)
        detached = self._header_terms(swap.fork, swap.detached[::-1])
        if attached is None or detached is None:
            return None
        ledger = sum_of([digest.ledger, ledger_sum(swap.ledger), -sum(gone)])
        return str(replace(digest, block=swap.new_tip.hash, ledger=ledger).with_headers(attached, detached))

    def _terms(self, key: str, names: list[str], term: Callable[[bytes, bytes], int]) -> Iterator[int]:
        for start in range(0, len(names), SLICE):
            part = names[start : start + SLICE]
            for name, text in zip(part, self._redis.hmget(key, part), strict=True):
                if text is not None:
                    yield term(name.encode(), text)

    def _header_terms(self, fork: int, hashes: Sequence[str]) -> list[int] | None:
        """The terms of the blocks from height `fork` + 1 on. None: one is not stored."""
        terms = []
        for start in range(0, len(hashes), SLICE):
            part = list(hashes[start : start + SLICE])
            for i, text in enumerate(self._blocks.many("headers", part)):
                if text is None:
                    return None
                terms.append(header_term(fork + 1 + start + i, part[i].encode(), text))
        return terms

    def journal(self) -> Journal | None:
        """The swap that is not finished, or None."""
        found = self._redis.get(self.keys.journal)
        if found is None:
            return None
        value = json.loads(found)
        beginning = found.decode().partition(",")[0]
        asked = value.get("aftermath")
        if asked is not None:
            asked["leaving"] = None if asked["leaving"] is None else tuple(asked["leaving"])
        aftermath = None if asked is None else Aftermath(**asked)
        return Journal(beginning, value["fork"], tuple(value["detached"]), tuple(value["attached"]), aftermath)

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
        """Bring histories in line with the branch. Each item: address, its places in the branch, oldest first."""
        args: list[Any] = []
        for address, places in histories:
            args += [1 + len(places), address, *places]
            if len(args) > SLICE:
                self._run("rehistory", [[journal.beginning, journal.fork, *args]])
                args = []
        if args:
            self._run("rehistory", [[journal.beginning, journal.fork, *args]])

    def requeue(self, journal: Journal, senders: Mapping[str, Sequence[Returning]], now: float) -> None:
        """Bring the mempool queues of some senders in line with the branch. `senders`: what was detached of each."""
        calls: list[list[Any]] = []
        for sender, detached in senders.items():
            for start in range(0, max(len(detached), 1), REQUEUED):
                args: list[Any] = [journal.beginning, now, sender]
                for item in detached[start : start + REQUEUED]:
                    of = item.transaction
                    args += [of.id, bytes.fromhex(of.id), of.nonce, fee_rank(of.fee), item.place, of.canonical]
                calls.append(args)
        self._run("requeue", calls)

    def restore(
        self,
        journal: Journal,
        aftermath: Aftermath,
        detached: Mapping[str, Sequence[Returning]],
        members: Mapping[str, Sequence[str]],
        now: float,
    ) -> None:
        """Let detached transactions leave, and bring queues in line with the snapshot, if there is one.

        Args:
            detached: by sender, its transactions that leave.
            members: by sender, the order members of its transactions in the snapshot's mempool.
        """
        calls: list[list[Any]] = []
        for sender in {**members, **detached}:
            head = [journal.beginning, now, sender, aftermath.status, aftermath.reason, int(aftermath.restores)]
            names, items = list(members.get(sender, ())), list(detached.get(sender, ()))
            # What comes back first: a transaction is found in the mempool before it leaves the index.
            for start in range(0, max(len(names), 1), REQUEUED):
                calls.append([*head, 0, *names[start : start + REQUEUED]])
            for start in range(0, len(items), REQUEUED):
                part = items[start : start + REQUEUED]
                calls.append([*head, len(part)])
                for item in part:
                    calls[-1] += [item.transaction.id, bytes.fromhex(item.transaction.id), item.place]
        self._run("restore", calls)

    def restoring(self) -> dict[str, list[str]]:
        """By sender, the order members of the snapshot's mempool that the journal restores."""
        found: dict[str, list[str]] = {}
        for member, entry in self._redis.hgetall(self.keys.restoring).items():
            found.setdefault(entry.partition(b" ")[0].decode(), []).append(member.decode())
        return found

    def _run(self, name: str, calls: Sequence[list[Any]]) -> None:
        """Run a script with each list of arguments. Each run is one slice; some are sent together."""
        for start in range(0, len(calls), TOGETHER):
            self._scripts.run_many(name, [self.keys.prefix], list(calls[start : start + TOGETHER]))

    def finish(self, journal: Journal, now: float) -> None:
        """Delete the journal: everything in it is done. If the swap was asked for, the open round ends too. The tip
        that was detached is kept as the end of a branch.
        """
        attached = set(journal.attached)
        back = [name for name in self._redis.zrange(self.keys.branch_ends, 0, -1) if name.decode() in attached]
        args: list[Any] = [journal.beginning, int(journal.aftermath is not None), now, KEEP_SECONDS]
        args += [journal.detached[0] if journal.detached else "", MOST_ENDS, *back]
        self._scripts.run("finish", [self.keys.prefix], args)

    def forget(self, before: float, limit: int) -> int:
        """Delete at most `limit` blocks that were staged before a time and are not on the chain. Returns how many."""
        return int(self._scripts.run("forget", [self.keys.prefix], [before, limit]))
