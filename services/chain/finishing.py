"""What follows from a swap: indexes, histories and mempool are brought in line with the new chain, slice by slice.

Walk: a swap leaves a journal (services/chain/reorganiser.py) → the blocks of the branch are indexed → transactions that
only the detached blocks held come back into the mempool → histories are rewritten → the journal is deleted →
transactions that the new ledger can never take are dropped. Every slice is safe to repeat, so after a crash any process
may start again. After a swap that was asked for (`Aftermath`), transactions leave instead of coming back, or the
mempool becomes that of a snapshot.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from services.mempool.admission import Mempool
from services.ports import Clock
from services.store.arguments import named_addresses
from services.store.branch import SLICE, Aftermath, BranchStore, Journal, Returning
from services.store.chain import ChainStore
from services.store.index import POSITION_BITS, unpacked
from services.store.pool import PoolStore
from shared.errors import RuleError
from shared.rules import Rules
from shared.transaction import Transaction

# Transactions of a branch that stay in memory from verifying to finishing it: about 50 MB at most. All others are read
# from the store again.
_MAX_HELD = 20_000
# Detached transactions that go back to the mempool together.
_RETURNED = 2000
# Blocks whose headers and transaction ids are read together; their bodies come in groups of a bounded size.
_TOGETHER = 25
# Senders whose queues are read together, and transactions that are read of one queue.
_SENDERS = 100
_JUDGED = 2000
# Passes over senders whose transactions wait for each other.
_PASSES = 50


class Finisher:
    """Finishes the swaps of one node."""

    def __init__(
        self,
        chain: ChainStore,
        branches: BranchStore,
        pool: PoolStore,
        mempool: Mempool,
        rules: Rules,
        clock: Clock,
        on_return: Callable[[Sequence[str]], None],
        on_restored: Callable[[Mapping[str, str]], None] = lambda fields: None,
    ) -> None:
        """
        Args:
            on_return: called with the ids that came back into the mempool: peers may never have had them.
            on_restored: called when the chain has gone back to a snapshot, with what other parts kept in it; with
                nothing after a reset. Safe to repeat.
        """
        self._chain = chain
        self._branches = branches
        self._pool = pool
        self._mempool = mempool
        self._rules = rules
        self._clock = clock
        self._on_return = on_return
        self._on_restored = on_restored
        self._read: dict[str, list[Transaction]] = {}  # of the branch that is being verified, by block hash
        self._held = 0  # transactions in `_read`

    def hold(self, block_hash: str, transactions: Sequence[Transaction]) -> None:
        """Keep the transactions of a block that is to be swapped in, if there is room: they need not be read again."""
        if self._held + len(transactions) <= _MAX_HELD:
            self._read[block_hash] = list(transactions)
            self._held += len(transactions)

    def let_go(self) -> None:
        """Forget the transactions that were kept: another branch begins, or the last one is finished."""
        self._read, self._held = {}, 0

    def finish(self) -> None:
        """Finish the last swap, if it is unfinished: indexes, histories, mempool.

        Safe to repeat, also at the same time, and to be killed anywhere. At most 40,000 transactions are in memory
        (twice `_MAX_HELD`), besides the senders and the places of addresses.
        """
        journal = self._branches.journal()
        if journal is None:
            return
        now = self._clock.now()
        senders: dict[str, list[Returning]] = {}  # in their order, so that a run can be repeated exactly
        histories: dict[str, array[int]] = {}
        # Attached blocks first: the index then says which detached transactions are still on the chain.
        self._index_attached(journal, senders, histories)
        back = self._bring_back(journal, senders, histories, now)
        self._branches.requeue(journal, senders, now)
        if journal.aftermath is not None:
            self._restore(journal, journal.aftermath, now)
        self._branches.rehistory(journal, ((address, _places(items)) for address, items in histories.items()))
        self._branches.finish(journal, now)
        self.let_go()
        # A wrong ledger cannot judge them; later templates can. A snapshot's mempool stays as it was.
        if not self._branches.is_marked() and not (journal.aftermath is not None and journal.aftermath.restores):
            self._drop_invalid(list(senders), back)
        self._on_return(list(back))

    def _index_attached(
        self, journal: Journal, senders: dict[str, list[Returning]], histories: dict[str, "array[int]"]
    ) -> None:
        """Index the transactions of the branch; collect their senders and the places of their addresses."""
        index: list[object] = []
        for height, transactions in enumerate(self._blocks(journal.attached), start=journal.fork + 1):
            for position, transaction in enumerate(transactions):
                index += [bytes.fromhex(transaction.id), _place(height, position)]
                if transaction.type != "reward":
                    senders[transaction.sender] = []
                for address in named_addresses(transaction):
                    histories.setdefault(address, array("Q")).append(height << POSITION_BITS | position)
            if len(index) >= SLICE:
                self._branches.reindex(journal, [], index)
                index = []
        self._branches.reindex(journal, [], index)

    def _bring_back(
        self, journal: Journal, senders: dict[str, list[Returning]], histories: dict[str, "array[int]"], now: float
    ) -> dict[str, Transaction]:
        """Put the transactions that only the detached blocks held back into the mempool; by id, those in memory.

        After a swap that was asked for, some or all of them leave with a record instead.
        """
        back: dict[str, Transaction] = {}
        returning: dict[str, list[Returning]] = {}
        leaving: dict[str, list[Returning]] = {}
        count, aftermath = 0, journal.aftermath
        members = self._branches.restoring() if aftermath is not None and aftermath.restores else {}
        gone: list[object] = []
        for height, transactions in enumerate(self._blocks(journal.detached[::-1]), start=journal.fork + 1):
            there = self._transaction_ids_at(journal, height)
            for position, transaction in enumerate(transactions):
                for address in named_addresses(transaction):
                    histories.setdefault(address, array("Q"))
                if there[position : position + 1] == [transaction.id]:
                    continue  # both branches have it at this place
                if transaction.type == "reward":
                    gone += [bytes.fromhex(transaction.id), _place(height, position)]
                    continue
                item = Returning(transaction, _place(height, position))
                senders[transaction.sender] = []
                count += 1
                if aftermath is not None and aftermath.leaves(transaction.id):
                    leaving.setdefault(transaction.sender, []).append(item)
                    continue
                returning.setdefault(transaction.sender, []).append(item)
                if len(back) < _MAX_HELD:
                    back[transaction.id] = transaction
            is_last = height == journal.fork + len(journal.detached)
            if len(gone) >= SLICE or is_last:
                self._branches.reindex(journal, gone, [])
                gone = []
            if count >= _RETURNED or is_last:
                self._branches.requeue(journal, returning, now)
                if aftermath is not None:
                    queued = {sender: members.get(sender, []) for sender in leaving}
                    self._branches.restore(journal, aftermath, leaving, queued, now)
                returning, leaving, count = {}, {}, 0
        return back

    def _restore(self, journal: Journal, aftermath: Aftermath, now: float) -> None:
        """Make the mempool that of the snapshot, or take single transactions out of it; tell the other parts."""
        if aftermath.restores:
            members = self._branches.restoring()
            for page in self._pool.by_fee():
                for entry in page:
                    members.setdefault(entry.sender, [])
            self._branches.restore(journal, aftermath, {}, members, now)
        elif aftermath.leaving:
            self._pool.drop(aftermath.leaving, aftermath.status, aftermath.reason, now)
        if aftermath.fields is not None:
            self._on_restored(aftermath.fields)

    def _transaction_ids_at(self, journal: Journal, height: int) -> list[str]:
        """The ids of the branch's block at a height."""
        position = height - journal.fork - 1
        return self._chain.transaction_ids(journal.attached[position]) if position < len(journal.attached) else []

    def _blocks(self, hashes: Sequence[str]) -> Iterator[list[Transaction]]:
        """The transactions of several blocks, in their order. What is not held is read in groups."""
        for start in range(0, len(hashes), _TOGETHER):
            part = hashes[start : start + _TOGETHER]
            # Taken once: another thread that finishes the same swap lets go of what is held.
            held = {name: self._read[name] for name in part if name in self._read}
            unread = [name for name in part if name not in held]
            texts = self._chain.read_blocks(self._chain.headers_of(unread))
            packed = self._chain.packed_ids(unread)
            for name in part:
                if name in held:
                    yield held[name]
                    continue
                stored, text = next(texts)
                assert stored.header.hash == name, "a swap names stored blocks"
                yield self._recalled(name, text, unpacked(packed[name]))

    def transactions(self, block_hash: str) -> list[Transaction]:
        """The transactions of a stored block, the reward included."""
        held = self._read.get(block_hash)
        if held is not None:
            return held
        text = self._chain.block_bytes(block_hash)
        assert text is not None, "a swap names stored blocks"
        return self._recalled(block_hash, text, self._chain.transaction_ids(block_hash))

    def _recalled(self, block_hash: str, text: bytes, ids: Sequence[str]) -> list[Transaction]:
        value = json.loads(text)
        if value["index"] == 1:  # genesis: no transactions, no undo record
            return []
        return list(self._rules.recall_block(value, ids, lambda: self._chain.undo(block_hash)))

    def _drop_invalid(self, senders: Sequence[str], back: Mapping[str, Transaction]) -> None:
        """Drop transactions that the new ledger can never take, such as a payment from a reward that is gone.

        All senders are tried together, since one may depend on a payment of another. A transaction that fails is tried
        again in the next pass. Those that still fail when a pass applies nothing are dropped.

        Args:
            back: by id, transactions that have just come back: they need not be read.
        """
        trial = self._rules.trial()
        waiting: list[list[Transaction]] = []
        for start in range(0, len(senders), _SENDERS):
            queues = self._queues(senders[start : start + _SENDERS], back)
            touched = self._rules.touched([transaction for queue in queues for transaction in queue])
            trial.learn(self._chain.entries(touched)[1])
            waiting += queues
        refused: list[tuple[str, RuleError]] = []
        for _ in range(_PASSES):
            refused, progress = [], False
            for queue in waiting:
                while queue:
                    try:
                        trial.apply(queue[-1])
                    except RuleError as error:
                        if error.code not in ("nonce_gap", "nonce_too_low"):
                            refused.append((queue[-1].id, error))
                        break
                    queue.pop()
                    progress = True
            if not progress:
                self._mempool.drop_invalid(refused)
                return

    def _queues(self, senders: Sequence[str], known: Mapping[str, Transaction]) -> list[list[Transaction]]:
        """Per sender, the waiting transactions, highest nonce first."""
        queues = self._pool.queues(senders, _JUDGED)
        unknown = [name for queue in queues for _, name in queue if name not in known]
        entries = self._pool.entries(unknown)
        read = {entry.id: self._rules.recall(entry.text, entry.id, entry.nonce) for entry in entries}
        found = read | {name: known[name] for queue in queues for _, name in queue if name in known}
        return [
            [self._rules.numbered(found[name], nonce) for nonce, name in reversed(queue) if name in found]
            for queue in queues
        ]


def _place(height: int, position: int) -> str:
    return f"{height}:{position}"


def _places(items: Iterable[int]) -> list[str]:
    """Places from their packed form, in which they take less memory."""
    return [_place(item >> POSITION_BITS, item & (1 << POSITION_BITS) - 1) for item in items]
