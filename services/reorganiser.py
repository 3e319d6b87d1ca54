"""Reorganisations: verify a whole branch, swap it in at once, then finish what follows from it.

Walk: a `Branch` starts at the fork point, with the ledger rolled back by undo records → `add` verifies and stages block
after block → `swap` changes heights, ledger and tip in one script → `finish` brings indexes, histories and mempool in
line, slice by slice, and can be continued by anybody after a crash.
"""

import json
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from services.errors import LedgerDiffers, TipMoved
from services.mempool import Mempool
from services.ports import Clock
from services.store.arguments import named_addresses
from services.store.branch import BranchStore, Journal, Returning, Swap
from services.store.chain import ChainStore
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import RuleError
from shared.forkchoice import is_better
from shared.ledger import Account, AllowanceKey, Change, Entries
from shared.rules import Rules
from shared.transaction import Transaction
from shared.validation import validate

_log = structlog.get_logger(__name__)

# Transactions of a branch that are kept from verifying it to finishing it, so that they are read once. The rest is read
# from the store again: about 50 MB at most.
_MAX_HELD = 20_000
# A branch that was given up is kept this long: the peer may come back with more of it.
KEEP_STAGED = 3600.0
# A place in 64 bits; a block has 50,000 transactions at most.
_POSITION_BITS = 20
_TRIES = 20
# Detached transactions that go back to the mempool together, and senders whose queues are read together, of a long
# queue the first so many.
_RETURNED = 2000
_SENDERS = 100
_JUDGED = 2000
# How often senders whose transactions wait for each other are gone through.
_PASSES = 50


@dataclass(slots=True)
class Branch:
    """A branch in the making: verified up to `window[-1]`, none of it on the chain."""

    old_tip: Tip
    fork: int
    detached: list[str]  # hashes, the old tip first
    window: deque[Header]
    chainwork: int
    supply: int
    accounts: dict[str, Account]  # entries that differ from the old tip's, as they are after the branch
    allowances: dict[AllowanceKey, int]
    attached: list[str] = field(default_factory=list)  # hashes, oldest first

    @property
    def tip(self) -> Tip:
        last = self.window[-1]
        return Tip(last.hash, last.index, self.chainwork, self.supply, last.timestamp)


class Reorganiser:
    """Branches of one node's chain."""

    def __init__(
        self,
        chain: ChainStore,
        branches: BranchStore,
        mempool: Mempool,
        rules: Rules,
        clock: Clock,
        on_return: Callable[[Sequence[str]], None],
    ) -> None:
        """`on_return` is told the ids that came back into the mempool: peers may never have had them."""
        self._chain = chain
        self._branches = branches
        self._mempool = mempool
        self._rules = rules
        self._clock = clock
        self._on_return = on_return
        self._read: dict[str, list[Transaction]] = {}  # of the branch in the making, by block hash
        self._held = 0  # transactions in it

    def is_marked(self) -> bool:
        """Whether the stored state is marked as wrong: then nothing is adopted."""
        return self._branches.is_marked()

    def begin(self, fork: int, genesis: Block | None = None) -> Branch:
        """A branch that leaves our chain after height `fork`: the ledger is rolled back to there.

        Args:
            genesis: where `fork` is 0, the branch's own first block (`Rules.adopt_genesis`).

        Raises:
            TipMoved: the chain changed while it was read.
        """
        self._read, self._held = {}, 0
        tip = self._chain.tip()
        detached = [stored.header.hash for stored in reversed(self._chain.headers(fork + 1, tip.height - fork))]
        if (detached[0] if detached else self._chain.hash_at(fork)) != tip.hash:
            raise TipMoved("The tip moved while a branch was begun.")
        accounts: dict[str, Account] = {}
        allowances: dict[AllowanceKey, int] = {}
        supply = tip.supply
        # Tip first, so the oldest record of an entry is the last to be written. Before genesis there was nothing.
        for block_hash in detached[: tip.height - max(fork, 1)]:
            before = self._chain.undo(block_hash)
            accounts.update(before.accounts)
            allowances.update(before.allowances)
            supply = before.supply
        if genesis is not None:
            self._branches.stage(genesis, Entries(), 0, self._clock.now())
            window = deque([genesis.header], maxlen=self._rules.window_size)
            return Branch(tip, 0, detached, window, 0, supply, accounts, allowances, [genesis.hash])
        size = self._rules.window_size
        stored = self._chain.headers(max(1, fork - size + 1), min(fork, size))
        if not stored or stored[-1].header.index != fork:
            raise TipMoved("The chain changed while a branch was begun.")
        window = deque((item.header for item in stored), maxlen=size)
        return Branch(tip, fork, detached, window, stored[-1].chainwork, supply, accounts, allowances)

    def add(self, branch: Branch, block: Block) -> None:
        """Verify the branch's next block against the branch, and stage it.

        Raises:
            RuleError, TooEarly: as `validate`.
            TipMoved: the chain is not the one that the branch was begun on, nor that one with more blocks.
        """
        known = self._known(branch, block.transactions)
        change = validate(self._rules, block, tuple(branch.window), known, self._clock.now())
        self._extend(branch, block, change)

    def add_known(self, branch: Branch, block_hash: str) -> bool:
        """Make a block that we hold the branch's next; False if we do not hold it.

        Only what was verified is ever stored, and a hash names all that came before it. So a branch that was left, or
        that an earlier attempt did not finish, costs neither its bodies nor its signatures again.
        """
        text = self._chain.block_bytes(block_hash)
        if text is None:
            return False
        try:
            block = self._rules.read_block(json.loads(text))
        except (ValueError, RuleError):
            return False
        if block.hash != block_hash:  # damaged in the store: the peer has it whole
            return False
        self._extend(branch, block, self._rules.apply(block, self._known(branch, block.transactions)))
        return True

    def _extend(self, branch: Branch, block: Block, change: Change) -> None:
        branch.chainwork += self._rules.work(block.header)
        # Staged again even if we hold it, or it might be forgotten before the branch is complete.
        placed = self._rules.placed(block, change.before)
        self._branches.stage(placed, change.before, branch.chainwork, self._clock.now())
        if self._held + len(placed.transactions) <= _MAX_HELD:
            self._read[block.hash] = list(placed.transactions)
            self._held += len(placed.transactions)
        branch.accounts.update(change.after.accounts)
        branch.allowances.update(change.after.allowances)
        branch.supply = change.after.supply
        branch.window.append(block.header)
        branch.attached.append(block.hash)

    def _known(self, branch: Branch, transactions: Sequence[Transaction]) -> Entries:
        keys = self._rules.touched(transactions)
        tip, stored = self._chain.entries(keys)
        while tip.hash != branch.old_tip.hash:
            self._follow(branch)
            tip, stored = self._chain.entries(keys)
        return Entries(
            {address: branch.accounts.get(address, stored.accounts[address]) for address in keys.accounts},
            {key: branch.allowances.get(key, stored.allowances[key]) for key in keys.allowances},
            branch.supply,
        )

    def _follow(self, branch: Branch) -> None:
        """Our chain has grown meanwhile: let the branch detach the new blocks too. A busy miner must not stop it.

        Raises:
            TipMoved: the chain has not only grown.
        """
        old, tip = branch.old_tip, self._chain.tip()
        ours = [item.header.hash for item in self._chain.headers(old.height, tip.height - old.height + 1)]
        if len(ours) < 2 or (ours[0], ours[-1]) != (old.hash, tip.hash):
            raise TipMoved("The chain changed while a branch was verified.")
        new = ours[:0:-1]
        accounts: dict[str, Account] = {}
        allowances: dict[AllowanceKey, int] = {}
        for block_hash in new:
            before = self._chain.undo(block_hash)
            accounts.update(before.accounts)
            allowances.update(before.allowances)
        # What the branch knows already is as it is after the branch, whatever our chain has done since.
        branch.accounts = accounts | branch.accounts
        branch.allowances = allowances | branch.allowances
        branch.detached = [*new, *branch.detached]
        branch.old_tip = tip

    def swap(self, branch: Branch) -> None:
        """Make the branch the chain, and finish.

        Raises:
            TipMoved: the chain is not the one that the branch was verified against, or is not worse than the branch
                any more. Nothing has changed.
            LedgerDiffers: the stored state is marked as wrong. Nothing has changed.
        """
        for _ in range(_TRIES):
            if not is_better(branch.tip.claim, branch.old_tip.claim):
                raise TipMoved("Our chain has become better than the branch.")
            ledger = Entries(branch.accounts, branch.allowances, branch.supply)
            outcome = self._branches.swap(
                Swap(branch.old_tip, branch.fork, branch.detached, branch.attached, branch.tip, ledger)
            )
            if outcome == "swapped":
                break
            if outcome == "differs":
                raise LedgerDiffers("The stored state is marked as wrong: quarry repair first.")
            if outcome == "missing":
                raise TipMoved("Blocks of the branch were forgotten before it was complete.")
            if outcome == "unfinished":
                self.finish()
            else:
                self._follow(branch)
        else:
            raise TipMoved("The tip does not hold still.")
        _log.info(
            "reorganised", fork=branch.fork, detached=len(branch.detached), attached=len(branch.attached),
            tip=branch.tip.hash, height=branch.tip.height,
        )  # fmt: skip
        self.finish()

    def finish(self) -> None:
        """Finish the last swap, if it is not: indexes, histories, mempool. Safe to repeat and beside itself.

        Each slice leaves what the next attempt leaves too, so it may end anywhere. Some forty thousand transactions are
        held at most (`_MAX_HELD`, twice), besides the senders and the places of addresses.
        """
        journal = self._branches.journal()
        if journal is None:
            return
        now = self._clock.now()
        senders: dict[str, list[Returning]] = {}  # in their order, so that a run can be repeated exactly
        histories: dict[str, array[int]] = {}
        # Attached first: the index then says which of the detached ones are still on the chain.
        self._index_attached(journal, senders, histories)
        back = self._bring_back(journal, senders, histories, now)
        self._branches.requeue(journal, senders, now)
        self._branches.rehistory(journal, ((address, _places(items)) for address, items in histories.items()))
        self._branches.finish(journal)
        self._read, self._held = {}, 0
        if not self.is_marked():  # a wrong ledger is no judge; what is invalid leaves at the next template
            self._drop_invalid(list(senders), back)
        self._on_return(list(back))

    def _index_attached(
        self, journal: Journal, senders: dict[str, list[Returning]], histories: dict[str, "array[int]"]
    ) -> None:
        """Index the transactions of the branch, and note their senders and the places of their addresses."""
        for height, block_hash in enumerate(journal.attached, start=journal.fork + 1):
            index: list[object] = []
            for position, transaction in enumerate(self._transactions(block_hash)):
                index += [bytes.fromhex(transaction.id), _place(height, position)]
                if transaction.type != "reward":
                    senders[transaction.sender] = []
                for address in named_addresses(transaction):
                    histories.setdefault(address, array("Q")).append(height << _POSITION_BITS | position)
            self._branches.reindex(journal, [], index)

    def _bring_back(
        self, journal: Journal, senders: dict[str, list[Returning]], histories: dict[str, "array[int]"], now: float
    ) -> dict[str, Transaction]:
        """Put the transactions that only the detached blocks held back into the mempool; some or all of them, by id."""
        back: dict[str, Transaction] = {}
        returning: dict[str, list[Returning]] = {}
        count = 0
        for height, block_hash in enumerate(reversed(journal.detached), start=journal.fork + 1):
            there = self._transaction_ids_at(journal, height)
            gone: list[object] = []
            for position, transaction in enumerate(self._transactions(block_hash)):
                for address in named_addresses(transaction):
                    histories.setdefault(address, array("Q"))
                if there[position : position + 1] == [transaction.id]:
                    continue  # it stays where it is
                if transaction.type == "reward":
                    gone += [bytes.fromhex(transaction.id), _place(height, position)]
                    continue
                item = Returning(transaction, _place(height, position))
                returning.setdefault(transaction.sender, []).append(item)
                senders[transaction.sender] = []
                count += 1
                if len(back) < _MAX_HELD:
                    back[transaction.id] = transaction
            self._branches.reindex(journal, gone, [])
            if count >= _RETURNED or height == journal.fork + len(journal.detached):
                self._branches.requeue(journal, returning, now)
                returning, count = {}, 0
        return back

    def _transaction_ids_at(self, journal: Journal, height: int) -> list[str]:
        """The ids of the branch's block at a height."""
        position = height - journal.fork - 1
        return self._chain.transaction_ids(journal.attached[position]) if position < len(journal.attached) else []

    def _transactions(self, block_hash: str) -> list[Transaction]:
        held = self._read.get(block_hash)
        if held is not None:
            return held
        text = self._chain.block_bytes(block_hash)
        assert text is not None, "a swap names stored blocks"
        value = json.loads(text)
        if value["index"] == 1:  # genesis: no transactions, no undo record
            return []
        ids = self._chain.transaction_ids(block_hash)
        return list(self._rules.recall_block(value, ids, lambda: self._chain.undo(block_hash)))

    def _drop_invalid(self, senders: Sequence[str], back: Mapping[str, Transaction]) -> None:
        """Drop what the new ledger will never take, such as a payment from a reward that is gone.

        All are tried together, since one may live on what another pays it; whoever fails is tried again after the
        others. What fails when nobody gets any further has no hope.

        Args:
            back: transactions that came back just now, by id: they need not be read.
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
        """What waits of some senders, highest nonce first."""
        pool = self._mempool.store
        queues = pool.queues(senders, _JUDGED)
        unknown = [name for queue in queues for _, name in queue if name not in known]
        read = {item.id: self._rules.recall(item.fields(), item.id, item.nonce) for item in pool.entries(unknown)}
        found = read | {name: known[name] for queue in queues for _, name in queue if name in known}
        return [
            [self._rules.numbered(found[name], nonce) for nonce, name in reversed(queue) if name in found]
            for queue in queues
        ]

    def forget_abandoned(self) -> int:
        """Delete blocks that were staged long ago and never adopted; how many."""
        return self._branches.forget(self._clock.now() - KEEP_STAGED, 100)


def _place(height: int, position: int) -> str:
    return f"{height}:{position}"


def _places(items: Iterable[int]) -> list[str]:
    """Places from their packed form: a long branch has many."""
    return [_place(item >> _POSITION_BITS, item & (1 << _POSITION_BITS) - 1) for item in items]
