"""Reorganisations: verify a whole branch, swap it in at once, then finish what follows from it.

Walk: a `Branch` starts at the fork point, with the ledger rolled back by undo records → `add` verifies and stages block
after block → `swap` changes heights, ledger and tip in one script → `finish` brings indexes, histories and mempool in
line, slice by slice, and can be continued by anybody after a crash.
"""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.errors import TipMoved, Unfinished
from services.mempool import Mempool
from services.ports import Clock
from services.store.branch import BranchStore, Journal, Swap
from services.store.chain import ChainStore, named_addresses
from services.store.records import Tip
from shared.block import Block, Header
from shared.errors import RuleError
from shared.ledger import Account, AllowanceKey, Entries
from shared.rules import Rules
from shared.transaction import Transaction
from shared.validation import validate

_log = structlog.get_logger(__name__)

# A branch that was given up is kept this long: the peer may come back with more of it.
KEEP_STAGED = 3600.0


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

    def __init__(self, chain: ChainStore, branches: BranchStore, mempool: Mempool, rules: Rules, clock: Clock) -> None:
        self._chain = chain
        self._branches = branches
        self._mempool = mempool
        self._rules = rules
        self._clock = clock

    def begin(self, fork: int, genesis: Block | None = None) -> Branch:
        """A branch that leaves our chain after height `fork`: the ledger is rolled back to there.

        Args:
            genesis: where `fork` is 0, the branch's own first block (`Rules.adopt_genesis`).

        Raises:
            TipMoved: the chain changed while it was read.
        """
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
            TipMoved: the chain is not the one that the branch was begun on.
        """
        known = self._known(branch, block.transactions)
        now = self._clock.now()
        change = validate(self._rules, block, tuple(branch.window), known, now)
        branch.chainwork += self._rules.work(block.header)
        self._branches.stage(self._rules.placed(block, change.before), change.before, branch.chainwork, now)
        branch.accounts.update(change.after.accounts)
        branch.allowances.update(change.after.allowances)
        branch.supply = change.after.supply
        branch.window.append(block.header)
        branch.attached.append(block.hash)

    def _known(self, branch: Branch, transactions: Sequence[Transaction]) -> Entries:
        keys = self._rules.touched(transactions)
        tip, stored = self._chain.entries(keys)
        if tip.hash != branch.old_tip.hash:
            raise TipMoved("The tip moved while a branch was verified.")
        return Entries(
            {address: branch.accounts.get(address, stored.accounts[address]) for address in keys.accounts},
            {key: branch.allowances.get(key, stored.allowances[key]) for key in keys.allowances},
            branch.supply,
        )

    def swap(self, branch: Branch) -> None:
        """Make the branch the chain, and finish.

        Raises:
            TipMoved: the tip is not the one that the branch was verified against. Nothing has changed.
        """
        ledger = Entries(branch.accounts, branch.allowances, branch.supply)
        swap = Swap(branch.old_tip, branch.fork, branch.detached, branch.attached, branch.tip, ledger)
        outcome = self._branches.swap(swap)
        if outcome == "unfinished":
            self.finish()
            raise Unfinished("An earlier reorganisation had to be finished first.")
        if outcome == "moved":
            raise TipMoved("Another block was appended first.")
        _log.info(
            "reorganised", fork=branch.fork, detached=len(branch.detached), attached=len(branch.attached),
            tip=branch.tip.hash, height=branch.tip.height,
        )  # fmt: skip
        self.finish()

    def finish(self) -> None:
        """Finish the last swap, if it is not: indexes, histories, mempool. Safe to repeat and beside itself."""
        journal = self._branches.journal()
        if journal is None:
            return
        detached = [self._transactions(block_hash) for block_hash in reversed(journal.detached)]
        attached = [self._transactions(block_hash) for block_hash in journal.attached]
        first = journal.fork + 1
        self._branches.reindex(journal, _index(first, detached), _index(first, attached))
        self._branches.rehistory(journal, _places(first, detached, attached))
        senders = self._requeue(journal, detached, attached)
        self._branches.finish(journal)
        self._drop_invalid(senders)

    def _transactions(self, block_hash: str) -> list[Transaction]:
        text = self._chain.block_bytes(block_hash)
        assert text is not None, "a swap names stored blocks"
        value = json.loads(text)
        if value["index"] == 1:  # genesis: no transactions, no undo record
            return []
        return list(self._rules.placed(self._rules.read_block(value), self._chain.undo(block_hash)).transactions)

    def _requeue(
        self, journal: Journal, detached: list[list[Transaction]], attached: list[list[Transaction]]
    ) -> list[str]:
        """Bring the queues of all senders in line who appear in either branch; who they are."""
        returning: dict[str, list[Transaction]] = {}
        for block in attached:
            for transaction in block:
                if transaction.type != "reward":
                    returning.setdefault(transaction.sender, [])
        for block in detached:
            for transaction in block:
                if transaction.type != "reward":
                    returning.setdefault(transaction.sender, []).append(transaction)
        now = self._clock.now()
        for sender, transactions in returning.items():
            self._branches.requeue(journal, sender, transactions, now)
        return list(returning)

    def _drop_invalid(self, senders: Sequence[str]) -> None:
        """Drop what the new ledger will never take, such as a payment from a reward that is gone."""
        for sender in senders:
            queued = self._mempool.queued(sender)
            trial = self._rules.trial()
            _, known = self._chain.entries(self._rules.touched(queued))
            trial.learn(known)
            refused: list[tuple[str, RuleError]] = []
            for transaction in queued:
                try:
                    trial.apply(transaction)
                except RuleError as error:
                    if error.rule not in ("nonce_gap", "nonce_too_low"):
                        refused.append((transaction.id, error))
            self._mempool.drop_invalid(refused)

    def forget_abandoned(self) -> int:
        """Delete blocks that were staged long ago and never adopted; how many."""
        hashes = self._branches.abandoned(self._clock.now() - KEEP_STAGED, 500)
        self._branches.forget(hashes)
        return len(hashes)


def _index(first: int, blocks: Sequence[Sequence[Transaction]]) -> list[object]:
    """id, place, id, place, … of blocks that begin at height `first`."""
    result: list[object] = []
    for height, block in enumerate(blocks, start=first):
        for position, transaction in enumerate(block):
            result += [bytes.fromhex(transaction.id), f"{height}:{position}"]
    return result


def _places(
    first: int, detached: Sequence[Sequence[Transaction]], attached: Sequence[Sequence[Transaction]]
) -> dict[str, list[str]]:
    """Per address that either branch names, its places in the attached one."""
    places: dict[str, list[str]] = {}
    for block in detached:
        for transaction in block:
            for address in named_addresses(transaction):
                places.setdefault(address, [])
    for height, block in enumerate(attached, start=first):
        for position, transaction in enumerate(block):
            for address in named_addresses(transaction):
                places.setdefault(address, []).append(f"{height}:{position}")
    return places
