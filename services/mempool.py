"""The mempool: which transactions this node keeps for its next blocks, and in which order (DESIGN §5).

Walk: `admit` → judge against one view of the sender (`_judge`) → one script writes it, if the view still holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.errors import Busy, PolicyError
from services.ports import Clock
from services.store.pool import Admission, PoolStore, PoolView, Waiting
from shared.errors import NodeError, RuleError
from shared.ledger import AllowanceKey
from shared.rules import Rules
from shared.transaction import Transaction

# Under contention for one sender each attempt has one winner, so this many writers at once are served.
_ATTEMPTS = 64
_MAX_REPLACEMENTS = 10


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What one node admits. Not consensus: nodes may differ."""

    min_fee: int  # base units
    max_transactions: int
    nonces_ahead: int  # beyond the account's nonce
    expiry_seconds: int
    record_seconds: int
    max_records: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """An acknowledged transaction: it is durable."""

    id: str
    height: int  # of the block that it may be in, at the earliest
    open_round: str  # the round in progress, or ""
    new: bool  # False: it was there already


class Mempool:
    """Admission, expiry and the terminal records of one node's mempool."""

    def __init__(self, store: PoolStore, policy: PoolPolicy, rules: Rules, clock: Clock) -> None:
        self.store = store
        self.policy = policy
        self._rules = rules
        self._clock = clock

    def admit(self, transaction: Transaction) -> Admitted:
        """Admit one transaction whose shape and signature are good.

        Safe to repeat: a transaction that is waiting already is acknowledged again.

        Raises:
            RuleError: `nonce_too_low`, `insufficient_funds`, `insufficient_allowance`: it cannot be mined now.
            PolicyError: `fee_too_low`, `nonce_too_far`, `replacement_underpriced`, `too_many_replacements`.
            Busy: `mempool_full`.
        """
        outcome = self.admit_many([transaction])[0]
        if isinstance(outcome, NodeError):
            raise outcome
        return outcome

    def admit_many(self, transactions: Sequence[Transaction]) -> list[Admitted | NodeError]:
        """Admit transactions independently of each other; per transaction, the acknowledgement or the refusal.

        Those of one sender are written together, in the order given.
        """
        outcomes: dict[int, Admitted | NodeError] = {}
        senders: dict[str, list[int]] = {}
        for position, transaction in enumerate(transactions):
            senders.setdefault(transaction.sender, []).append(position)
        for positions in senders.values():
            for batch in self._batches(transactions, positions):
                results = self._admit_sender([transactions[position] for position in batch])
                outcomes.update(zip(batch, results, strict=True))
        return [outcomes[position] for position in range(len(transactions))]

    def _batches(self, transactions: Sequence[Transaction], positions: list[int]) -> Iterable[list[int]]:
        """Positions in groups that one view can judge: each nonce once, and each transfer_from by itself."""
        batch: dict[int, int] = {}  # nonce -> position
        for position in positions:
            transaction = transactions[position]
            alone = transaction.type == "transfer_from"
            if batch and (alone or transaction.nonce in batch):
                yield list(batch.values())
                batch = {}
            batch[transaction.nonce] = position
            if alone:
                yield [position]
                batch = {}
        if batch:
            yield list(batch.values())

    def _admit_sender(self, transactions: Sequence[Transaction]) -> list[Admitted | NodeError]:
        first = transactions[0]
        pair: AllowanceKey | None = None
        payer = ""
        if first.owner is not None:
            pair, payer = (first.owner, first.sender), first.owner
        nonces = sorted({transaction.nonce for transaction in transactions})
        for _ in range(_ATTEMPTS):
            view = self.store.view(first.sender, nonces, payer, pair)
            total = self._queue_total(first.sender) if view.total is None else view.total
            judged = _Judgement(self.policy, view, total, self._costs(view))
            outcomes = [judged.take(transaction) for transaction in transactions]
            if not judged.accepted:
                return outcomes
            written = self.store.admit(judged.admission(), self._clock.now(), self.policy.max_transactions)
            if written is not None:
                height, open_round = written
                return [
                    Admitted(outcome.id, height + 1, open_round, outcome.new)
                    if isinstance(outcome, Admitted)
                    else outcome
                    for outcome in outcomes
                ]
        return [Busy("contended", "Too many transactions of this sender arrive at once; try again.")] * len(
            transactions
        )

    def _queue_total(self, sender: str) -> int:
        """What a sender's queue costs. Judged together with the revision that the view read before it: whatever
        changed since then also fails the admission.
        """
        return sum(cost(self._rules.read_stored(entry.fields())) for entry in self.store.queue(sender))

    def _costs(self, view: PoolView) -> dict[str, int]:
        """What each transaction costs that may be replaced, by id."""
        entries = self.store.entries([waiting.id for waiting in view.at_nonce.values()])
        return {entry.id: cost(self._rules.read_stored(entry.fields())) for entry in entries}

    def expire(self) -> int:
        """Drop what has waited too long, and forget old records; how many transactions expired."""
        now = self._clock.now()
        ids = self.store.older_than(now - self.policy.expiry_seconds, 1000)
        self.store.forget_records(now - self.policy.record_seconds, self.policy.max_records, 2000)
        hours = self.policy.expiry_seconds / 3600
        return self.store.drop(ids, "expired", f"not mined within {hours:g} hours", now)

    def drop_invalid(self, refused: Iterable[tuple[str, RuleError]]) -> None:
        """Drop transactions that the ledger can no longer take, with the rule that each breaks."""
        for transaction_id, error in refused:
            self.store.drop([transaction_id], "dropped", f"{error.rule}: {error.message}", self._clock.now())


class _Judgement:
    """Judging some transactions of one sender, one after the other, against one view."""

    def __init__(self, policy: PoolPolicy, view: PoolView, total: int, costs: dict[str, int]) -> None:
        self._policy = policy
        self._view = view
        self._total = total
        self._costs = costs
        self._next = view.next_nonce
        self._new = 0  # accepted ones that replace nothing
        self._displaced: Waiting | None = None
        self._replacements: list[int] = []
        self.accepted: list[Transaction] = []

    def take(self, transaction: Transaction) -> Admitted | NodeError:
        """Whether the view lets `transaction` in, given what was taken before it."""
        try:
            new = self._check(transaction)
        except (RuleError, PolicyError) as refusal:
            return refusal
        return Admitted(transaction.id, self._view.height + 1, self._view.open_round, new)

    def _check(self, transaction: Transaction) -> bool:
        view, policy = self._view, self._policy
        if transaction.nonce < view.account.nonce:
            raise RuleError("nonce_too_low", f"The account's next nonce is {view.account.nonce}.", field="nonce")
        old = view.at_nonce.get(transaction.nonce)
        if old is not None and old.id == transaction.id:
            return False
        if transaction.fee < policy.min_fee:
            raise PolicyError("fee_too_low", "The fee is below what this node asks (QUARRY_MIN_FEE).", field="fee")
        if transaction.nonce >= view.account.nonce + policy.nonces_ahead:
            raise PolicyError(
                "nonce_too_far", f"nonce is {policy.nonces_ahead} or more ahead of the account's.", field="nonce"
            )
        replacements = self._check_replacement(transaction, old)
        # An entry that left since the view costs nothing here; the admission will then fail and view again.
        total = self._total + cost(transaction) - (self._costs.get(old.id, 0) if old else 0)
        self._check_funds(transaction, total)
        if old is None:
            self._check_room(transaction)
            self._new += 1
        self._total = total
        self._replacements.append(replacements)
        self.accepted.append(transaction)
        if transaction.nonce == self._next:
            self._next += 1
        return True

    def _check_replacement(self, transaction: Transaction, old: Waiting | None) -> int:
        if old is None:
            return 0
        if not _outbids(transaction.fee, old.fee):
            raise PolicyError(
                "replacement_underpriced",
                "To replace a waiting transaction, its fee must rise by a tenth.",
                field="fee",
            )
        if old.replacements >= _MAX_REPLACEMENTS:
            raise PolicyError(
                "too_many_replacements", f"This nonce was replaced {_MAX_REPLACEMENTS} times already.", field="nonce"
            )
        return old.replacements + 1

    def _check_funds(self, transaction: Transaction, total: int) -> None:
        if total > self._view.account.balance:
            raise RuleError(
                "insufficient_funds", "The balance does not cover the sender's waiting transactions.", field="amount"
            )
        if transaction.owner is None:
            return
        if transaction.owner != transaction.sender and self._view.payer.balance < transaction.amount:
            raise RuleError("insufficient_funds", "The owner's balance does not cover the amount.", field="amount")
        if self._view.allowance < transaction.amount:
            raise RuleError("insufficient_allowance", "The allowance does not cover the amount.", field="amount")

    def _check_room(self, transaction: Transaction) -> None:
        view = self._view
        if view.pool_size + self._new < self._policy.max_transactions:
            return
        end = view.cheapest_end
        full = Busy("mempool_full", "The mempool is full; offer a higher fee or try again later.", field="fee")
        # One displacement per write, never of the sender's own queue, and never for one that must wait for a gap.
        if self._displaced is not None or end is None or transaction.nonce > self._next:
            raise full
        if not _outbids(transaction.fee, end.fee) or view.cheapest_sender == transaction.sender:
            raise full
        self._displaced = end

    def admission(self) -> Admission:
        """What is to be written."""
        return Admission(
            sender=self.accepted[0].sender,
            view=self._view,
            transactions=self.accepted,
            replacements=self._replacements,
            total=self._total,
            displaced=self._displaced,
        )


def _outbids(new: int, old: int) -> bool:
    """Whether a fee is high enough to take another's place: a tenth more, and more at all."""
    return new > old and 10 * new >= 11 * old


def cost(transaction: Transaction) -> int:
    """What a transaction takes from its sender's balance at most, in base units."""
    return transaction.fee + (transaction.amount if transaction.payer == transaction.sender else 0)
