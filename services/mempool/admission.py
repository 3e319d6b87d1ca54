"""The mempool: which transactions this node keeps for its next blocks, and in which order (docs/mempool.md).

Walk: `admit_many` → judge against one view of the sender (`_Judgement`) → one script writes it, if the view still
holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from services.errors import Busy, PolicyError
from services.ports import Clock
from services.store.pool import Admission, PoolStore, PoolView, Question, Waiting, Written
from shared.errors import NodeError, RuleError
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
    new: bool = True  # False: it was there already
    attended: bool = True  # False: no round is open, and no search job looks for the next one
    block: str = ""  # the hash of the block that it is in, at `height`, where it was sent again after it was mined


class Mempool:
    """Admission, expiry and the terminal records of one node's mempool."""

    def __init__(self, store: PoolStore, policy: PoolPolicy, rules: Rules, clock: Clock) -> None:
        self.store = store
        self.policy = policy
        self._rules = rules
        self._recent = _RecentViews()
        self._clock = clock

    def admit_many(self, transactions: Sequence[Transaction]) -> list[Admitted | NodeError]:
        """Admit transactions independently of each other; per transaction, the acknowledgement or the refusal.

        Their shapes and signatures are good. Those of one sender are taken in the order given, and those of different
        senders side by side. Safe to repeat: a transaction that is waiting already is acknowledged again.

        Returns:
            RuleError (`nonce_too_low`, `insufficient_funds`, `insufficient_allowance`) for what cannot be mined now;
            PolicyError (`fee_too_low`, `nonce_too_far`, `replacement_underpriced`, `too_many_replacements`); Busy
            (`mempool_full`).

        Raises:
            LedgerDiffers: the stored state is marked as wrong. Some may have been written before it was.
        """
        outcomes: dict[int, Admitted | NodeError] = {}
        queues = self._batches(transactions)
        attempts = 0
        while queues:
            heads = [batches[0] for batches in queues]
            results = self._try([[transactions[position] for position in batch] for batch in heads])
            progress = False
            for batches, result in zip(queues, results, strict=True):
                if result is not None:
                    outcomes.update(zip(batches.pop(0), result, strict=True))
                    progress = True
            queues = [batches for batches in queues if batches]
            attempts = 0 if progress else attempts + 1
            if attempts == _ATTEMPTS:
                busy = Busy("contended", "Too many transactions of this sender arrive at once; try again.")
                outcomes.update((position, busy) for batches in queues for batch in batches for position in batch)
                break
        return [outcomes[position] for position in range(len(transactions))]

    def _batches(self, transactions: Sequence[Transaction]) -> list[list[list[int]]]:
        """Per sender, positions in groups that one view can judge: each nonce once, each transfer_from by itself."""
        queues: dict[str, list[dict[int, int]]] = {}  # sender -> groups of nonce -> position
        for position, transaction in enumerate(transactions):
            groups = queues.setdefault(transaction.sender, [])
            alone = transaction.type == "transfer_from"
            last = transactions[next(reversed(groups[-1].values()))] if groups else None
            if last is None or alone or last.type == "transfer_from" or transaction.nonce in groups[-1]:
                groups.append({})
            groups[-1][transaction.nonce] = position
        return [[list(group.values()) for group in groups] for groups in queues.values()]

    def _try(self, batches: Sequence[Sequence[Transaction]]) -> list[list[Admitted | NodeError] | None]:
        """View, judge and write each sender's batch once. None: its view no longer held when it was written."""
        judged: list[tuple[_Judgement, list[Admitted | NodeError]]] = []
        for batch, view in zip(batches, self._views(batches), strict=True):
            total = self._queue_total(batch[0].sender) if view.total is None else view.total
            judgement = _Judgement(self.policy, view, total, self._costs(view))
            outcomes = [judgement.take(self._rules.numbered(item, judgement.next_nonce)) for item in batch]
            judged.append((judgement, outcomes))
        admissions = [judgement.admission() for judgement, _ in judged if judgement.accepted]
        answers = iter(
            self.store.admit(admissions, self._clock.now(), self.policy.max_transactions) if admissions else []
        )
        results: list[list[Admitted | NodeError] | None] = []
        for judgement, outcomes in judged:
            view = judgement.view
            if not judgement.accepted:
                # What is remembered may be out of date, so it lets in (the script checks) but never refuses.
                results.append(outcomes if view.fresh else None)
                continue
            written = next(answers)
            if written is None:
                results.append(None)
                continue
            self._recent.put(judgement.accepted[0].sender, judgement.after(written))
            results.append([_acknowledge(outcome, written) for outcome in outcomes])
        return results

    def _views(self, batches: Sequence[Sequence[Transaction]]) -> list[PoolView]:
        """A view for each batch: the one that the sender's last admission left, where that suffices, else a fresh one.

        Taking a remembered view forgets it, so the attempt after a failed one looks afresh.
        """
        found = [self._recent.take(batch) for batch in batches]
        missing = [_question(batch) for batch, view in zip(batches, found, strict=True) if view is None]
        asked = iter(self.store.view(missing) if missing else [])
        return [view or next(asked) for view in found]

    def _queue_total(self, sender: str) -> int:
        """What a sender's queue costs. Judged together with the revision that the view read before it: whatever
        changed since then also fails the admission.
        """
        return sum(cost(transaction) for transaction in self.queued(sender))

    def _costs(self, view: PoolView) -> dict[str, int]:
        """What each transaction costs that may be replaced, by id."""
        entries = self.store.entries([waiting.id for waiting in view.at_nonce.values()])
        return {item.id: cost(self._rules.recall(item.fields(), item.id, item.nonce)) for item in entries}

    def queued(self, sender: str) -> list[Transaction]:
        """A sender's waiting transactions, by nonce."""
        return [self._rules.recall(item.fields(), item.id, item.nonce) for item in self.store.queue(sender)]

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
            self.store.drop([transaction_id], "dropped", f"{error.code}: {error.message}", self._clock.now())


class _RecentViews:
    """What this process knows of senders from their last admissions: saves a round trip per transaction.

    Only good for a transaction that continues its sender's queue, since nothing is known of other nonces.
    """

    _CAP = 10_000

    def __init__(self) -> None:
        self._views: dict[str, PoolView] = {}

    def take(self, batch: Sequence[Transaction]) -> PoolView | None:
        """The view to judge `batch` by, if there is one. It is forgotten, so a failure is not repeated."""
        first = batch[0]
        view = self._views.pop(first.sender, None)
        if view is None or len(batch) > 1 or first.nonce != view.next_nonce or first.owner is not None:
            return None
        return view

    def put(self, sender: str, view: PoolView) -> None:
        if len(self._views) >= self._CAP:
            self._views.clear()
        self._views[sender] = view


class _Judgement:
    """Judging some transactions of one sender, one after the other, against one view."""

    def __init__(self, policy: PoolPolicy, view: PoolView, total: int, costs: dict[str, int]) -> None:
        self._policy = policy
        self.view = view
        self._total = total
        self._costs = costs
        self.next_nonce = view.next_nonce
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
        return Admitted(transaction.id, self.view.height + 1, new)

    def _check(self, transaction: Transaction) -> bool:
        view, policy = self.view, self._policy
        if transaction.nonce < view.account.nonce:
            raise RuleError("nonce_too_low", f"The account's next nonce is {view.account.nonce}.", field="nonce")
        old = view.at_nonce.get(transaction.nonce)
        if old is not None and old.id == transaction.id:
            return False
        if transaction.fee < policy.min_fee:
            raise PolicyError("fee_too_low", "The fee is below what this node asks (QUARRY_MIN_FEE).", field="fee")
        if transaction.nonce > view.account.nonce + policy.nonces_ahead:
            raise PolicyError(
                "nonce_too_far", f"nonce is more than {policy.nonces_ahead} ahead of the account's.", field="nonce"
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
        if transaction.nonce == self.next_nonce:
            self.next_nonce += 1
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

    def after(self, written: Written) -> PoolView:
        """The view that a fresh look would give now, as far as the sender's next transaction is concerned."""
        return replace(
            self.view,
            revision=written.revision,
            next_nonce=written.next_nonce,
            total=self._total,
            height=written.height,
            at_nonce={},
            fresh=False,
        )

    def _check_funds(self, transaction: Transaction, total: int) -> None:
        if total > self.view.account.balance:
            raise RuleError(
                "insufficient_funds", "The balance does not cover the sender's waiting transactions.", field="amount"
            )
        if transaction.owner is None:
            return
        if transaction.owner != transaction.sender and self.view.payer.balance < transaction.amount:
            raise RuleError("insufficient_funds", "The owner's balance does not cover the amount.", field="amount")
        if self.view.allowance < transaction.amount:
            raise RuleError("insufficient_allowance", "The allowance does not cover the amount.", field="amount")

    def _check_room(self, transaction: Transaction) -> None:
        view = self.view
        if view.pool_size + self._new < self._policy.max_transactions:
            return
        end = view.cheapest_end
        full = Busy("mempool_full", "The mempool is full; offer a higher fee or try again later.", field="fee")
        # One displacement per write, never of the sender's own queue, and never for one that must wait for a gap.
        if self._displaced is not None or end is None or transaction.nonce > self.next_nonce:
            raise full
        if not _outbids(transaction.fee, end.fee) or view.cheapest_sender == transaction.sender:
            raise full
        self._displaced = end

    def admission(self) -> Admission:
        """What is to be written."""
        return Admission(
            sender=self.accepted[0].sender,
            view=self.view,
            transactions=self.accepted,
            replacements=self._replacements,
            total=self._total,
            displaced=self._displaced,
        )


def _question(batch: Sequence[Transaction]) -> Question:
    first = batch[0]
    nonces = sorted({transaction.nonce for transaction in batch})
    if first.owner is None:
        return Question(first.sender, nonces)
    return Question(first.sender, nonces, payer=first.owner, pair=(first.owner, first.sender))


def _acknowledge(outcome: Admitted | NodeError, written: Written) -> Admitted | NodeError:
    if isinstance(outcome, NodeError):
        return outcome
    return Admitted(outcome.id, written.height + 1, outcome.new, written.attended)


def _outbids(new: int, old: int) -> bool:
    """Whether a fee is high enough to take another's place: a tenth more, and more at all."""
    return new > old and 10 * new >= 11 * old


def cost(transaction: Transaction) -> int:
    """What a transaction takes from its sender's balance at most, in base units."""
    return transaction.fee + (transaction.amount if transaction.payer == transaction.sender else 0)
