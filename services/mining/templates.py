"""Making a template: the transactions of the mempool that fit the next block, best fee first, nonces in sequence."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.errors import TipMoved
from services.mining.sealer import Sealer
from services.ports import Clock
from services.store.chain import ChainStore
from services.store.pool import Entry, PoolStore
from services.store.records import Tip
from shared.block import Template
from shared.errors import RuleError, TooEarly
from shared.rules import Rules
from shared.timestamps import max_ahead
from shared.transaction import Transaction

# Canonical JSON puts ", " between two transactions.
_SEPARATOR = 2


@dataclass(frozen=True, slots=True)
class MadeTemplate:
    """A template, the tip it extends, and the waiting transactions that the ledger refuses."""

    template: Template
    tip: Tip
    transactions: int  # besides the reward
    refused: list[tuple[str, RuleError]]  # id, broken rule


class TemplateMaker:
    """Makes templates from the chain and the mempool."""

    def __init__(
        self, chain: ChainStore, pool: PoolStore, rules: Rules, clock: Clock, sealer: Sealer | None = None
    ) -> None:
        """`sealer`: None where anybody may seal, or where nothing is mined."""
        self._chain = chain
        self._pool = pool
        self._rules = rules
        self._clock = clock
        self.sealer = sealer or Sealer(rules.spec)

    def make(self, recipient: str) -> MadeTemplate:
        """The next block without its proof; its reward goes to `recipient`.

        Raises:
            TipMoved: the tip moved while the template was made.
            TooEarly: the last blocks lie so far in the future that no block may follow them yet.
            NotASealer: this process may not make the next block.
        """
        tip = self._chain.tip()
        key = self.sealer.require(tip.height + 1)
        window = self._chain.window(tip)
        if self._rules.opens_at(window) > tip.time_limit(self._clock.now()):  # before the mempool is read in vain
            raise TooEarly("The last blocks lie so far in the future that none may follow them yet.")
        selection = _Selection(self._rules, self._chain, tip)
        for page in self._pool.by_fee():
            selection.consider(page)
            if selection.full:
                break
        ahead = max_ahead(self._rules.spec.at(tip.height + 1).block_interval)
        timestamp = tip.following_time(self._clock.now(), ahead)
        template = self._rules.template(window, selection.chosen, recipient, timestamp, key)
        return MadeTemplate(template, tip, len(selection.chosen), selection.refused())

    def require_sealer(self) -> None:
        """Raises: NotASealer: as `make`."""
        if self._rules.spec.has_sealers:
            self.sealer.require(self._chain.tip().height + 1)

    def opens_at(self) -> float:
        """Unix seconds, by the node's clock, from which on a block may follow the tip.

        Raises:
            TipMoved: the tip moved while its ancestors were read.
        """
        tip, now = self._chain.tip(), self._clock.now()
        return self._rules.opens_at(self._chain.window(tip)) - (tip.time_limit(now) - now)


class _Selection:
    """Choosing transactions, page by page, by applying each to the ledger as the block will."""

    def __init__(self, rules: Rules, chain: ChainStore, tip: Tip) -> None:
        self._rules = rules
        self._chain = chain
        self._tip = tip
        self._trial = rules.trial()
        limits = rules.spec.at(tip.height + 1)
        self._room = limits.room
        self._places = limits.max_block_transactions - 1  # the reward has one
        self._early: dict[str, dict[int, Transaction]] = {}  # sender -> nonce -> waits for the nonces before it
        self._failed: dict[str, tuple[Transaction, RuleError]] = {}
        self.chosen: list[Transaction] = []
        self.full = False

    def consider(self, page: list[Entry]) -> None:
        """Take what fits of one page, in its order. A transaction waits until its predecessor has been taken."""
        transactions = [self._rules.recall(entry.text, entry.id, entry.nonce) for entry in page]
        tip, known = self._chain.entries(self._rules.touched(transactions))
        if tip.hash != self._tip.hash:
            raise TipMoved("The tip moved while a template was made.")
        self._trial.learn(known)
        for transaction in transactions:
            for candidate in self._ready(transaction):
                if self.full:
                    return
                self._take(candidate)

    def _ready(self, transaction: Transaction) -> Iterator[Transaction]:
        """`transaction`, if its nonce is next, and then those that waited for it."""
        sender = transaction.sender
        if transaction.nonce > self._trial.next_nonce(sender):
            self._early.setdefault(sender, {})[transaction.nonce] = transaction
            return
        yield transaction
        waiting = self._early.get(sender, {})
        while (follower := waiting.pop(self._trial.next_nonce(sender), None)) is not None:
            yield follower

    def _take(self, transaction: Transaction) -> None:
        if transaction.size + _SEPARATOR > self._room or not self._places:
            self.full = True
            return
        try:
            self._trial.apply(transaction)
        except RuleError as error:
            self._failed[transaction.id] = (transaction, error)
            return
        self._room -= transaction.size + _SEPARATOR
        self._places -= 1
        self.chosen.append(transaction)

    def refused(self) -> list[tuple[str, RuleError]]:
        """Transactions that failed, and fail even after all that were chosen: waiting does not help them."""
        refused = []
        for transaction_id, (transaction, _) in self._failed.items():
            try:
                self._trial.apply(transaction)
            except RuleError as error:
                if error.code not in ("nonce_gap", "nonce_too_low"):
                    refused.append((transaction_id, error))
        return refused
