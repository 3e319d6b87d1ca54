"""The mempool: which transactions this node keeps for its next blocks, and in which order (docs/mempool.md).

Walk: `admit_many` → judge against one view of the sender (`services/mempool/judgement.py`) → one script writes it, if
the view still holds.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.errors import Busy, PolicyError
from services.mempool.judgement import Judgement, PoolPolicy, cost
from services.ports import Clock
from services.store.pool import PoolStore, PoolView, Question, Written
from services.system import tracing
from shared.errors import NodeError, RuleError
from shared.rules import Rules
from shared.transaction import Transaction

# Of several writers for one sender, each attempt lets one succeed. So this many can write at once.
_ATTEMPTS = 64


class Admitted(NamedTuple):
    """An acknowledged transaction: it is durable."""

    id: str
    height: int  # of the first block that may hold it; of `block`, where that is set
    new: bool = True  # False: it was waiting already, or is mined
    attended: bool = True  # False: no round is open, and the desk does not open one after a rest
    automine: bool | None = None  # whether it opens a round, as a control method has set it; None: as the settings say
    block: str = ""  # hash of the block that holds it, if it was sent again after it was mined


class Mempool:
    """Admission, expiry and the terminal records of one node's mempool."""

    def __init__(self, store: PoolStore, policy: PoolPolicy, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._policy = policy
        self._rules = rules
        self._recent = _RecentViews()
        self._costs = _Costs(store, rules)
        self._clock = clock

    def admit_many(self, transactions: Sequence[Transaction], *, replaces: bool = True) -> list[Admitted | NodeError]:
        """Admit transactions independently of each other.

        Safe to repeat: a transaction that is waiting already is acknowledged again.

        Args:
            transactions: with shapes and signatures that are known to be good. Those of one sender are judged in this
                order, those of different senders side by side.
            replaces: whether they may take the place of transactions that wait. If not, a nonce that is taken is
                refused as `replacement_underpriced`, whatever the fee.

        Returns:
            per transaction, the acknowledgement or the refusal: what `Judgement.take` raises, or Busy (`contended`).

        Raises:
            LedgerDiffers: the stored state is marked as wrong. Some transactions may have been written before.
        """
        outcomes: dict[int, Admitted | NodeError] = {}
        queues = self._batches(transactions)
        attempts = 0
        while queues:
            heads = [batches[0] for batches in queues]
            with tracing.trace("admit"):
                results = self._try([[transactions[position] for position in batch] for batch in heads], replaces)
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
        if len(transactions) == 1:
            return [[[0]]]
        queues: dict[str, list[dict[int, int]]] = {}  # sender -> groups of nonce -> position
        for position, transaction in enumerate(transactions):
            groups = queues.setdefault(transaction.sender, [])
            alone = transaction.type == "transfer_from"
            last = transactions[next(reversed(groups[-1].values()))] if groups else None
            if last is None or alone or last.type == "transfer_from" or transaction.nonce in groups[-1]:
                groups.append({})
            groups[-1][transaction.nonce] = position
        return [[list(group.values()) for group in groups] for groups in queues.values()]

    def _try(self, batches: Sequence[Sequence[Transaction]], replaces: bool) -> list[list[Admitted | NodeError] | None]:
        """View, judge and write each sender's batch once. None: its view no longer held when it was written."""
        judged: list[tuple[Judgement, list[_Judged]]] = []
        for batch, view in zip(batches, self._views(batches), strict=True):
            total = self._queue_total(batch[0].sender) if view.total is None else view.total
            replaceable = self._costs.of([waiting.id for waiting in view.at_nonce.values()]) if view.at_nonce else {}
            judgement = Judgement(self._policy, view, total, replaceable, replaces=replaces)
            outcomes = [_judge(judgement, self._rules.numbered(item, judgement.next_nonce)) for item in batch]
            judged.append((judgement, outcomes))
        admissions = [judgement.admission() for judgement, _ in judged if judgement.accepted]
        cap = self._policy.max_transactions
        answers = iter(self._store.admit(admissions, self._clock.now(), cap) if admissions else [])
        results: list[list[Admitted | NodeError] | None] = []
        for judgement, outcomes in judged:
            after: Written | None = None
            if judgement.accepted:
                after = next(answers)
            elif judgement.view.fresh:
                # A remembered view may be out of date. It may admit, since the script checks, but never refuse.
                after = Written(judgement.view.height, True, judgement.view.revision, judgement.next_nonce)
            if after is None:
                results.append(None)
                continue
            if judgement.accepted:
                self._recent.put(judgement.accepted[0].sender, judgement.after(after))
                for transaction in judgement.accepted:
                    self._costs.known[transaction.id] = cost(transaction)
            results.append(
                [
                    outcome
                    if isinstance(outcome, NodeError)
                    else Admitted(transaction.id, after.height + 1, outcome, after.attended, after.automine)
                    for transaction, outcome in outcomes
                ]
            )
        return results

    def _views(self, batches: Sequence[Sequence[Transaction]]) -> list[PoolView]:
        """A view for each batch: the one that the sender's last admission left, if that suffices, else a fresh one.

        Taking a remembered view forgets it, so the attempt after a failed one reads a fresh view.
        """
        found = [self._recent.take(batch) for batch in batches]
        missing = [_question(batch) for batch, view in zip(batches, found, strict=True) if view is None]
        asked = iter(self._store.view(missing) if missing else [])
        return [view or next(asked) for view in found]

    def _queue_total(self, sender: str) -> int:
        """What a sender's queue costs, base units. Read after the view: if the queue has changed in between, its
        revision has too, and the write fails.
        """
        return sum(self._costs.of(self._store.queue_ids(sender)).values())

    def expire(self) -> int:
        """Drop transactions that have waited too long, and forget old records. Returns how many were dropped."""
        now = self._clock.now()
        ids = self._store.older_than(now - self._policy.expiry_seconds, 1000)
        self._store.forget_records(now - self._policy.record_seconds, self._policy.max_records, 2000)
        seconds = self._policy.expiry_seconds
        hours, rest = divmod(seconds, 3600)
        span = f"{seconds} s" if rest else "1 hour" if hours == 1 else f"{hours} hours"
        return self._store.drop(ids, "expired", f"not mined within {span}", now)

    def take_out(self, ids: Sequence[str], reason: str) -> int:
        """Drop transactions because someone asked for it. Returns how many of them were waiting.

        Those of the same sender with higher nonces stay, and wait for the nonces that are missing now. A round that is
        open may still hold what was dropped: see `Rounds.renew`.
        """
        return self._store.drop(ids, "dropped", reason, self._clock.now())

    def drop_invalid(self, refused: Iterable[tuple[str, RuleError]]) -> None:
        """Drop transactions that the ledger can no longer take, with the rule that each breaks."""
        for transaction_id, error in refused:
            self._store.drop([transaction_id], "dropped", f"{error.code}: {error.message}", self._clock.now())


class _RecentViews:
    """Views of senders as their last admissions by this process left them: each saves a round trip.

    A remembered view knows nothing of waiting transactions, so it serves only one that continues its sender's queue.
    """

    _CAP = 10_000

    def __init__(self) -> None:
        self._views: dict[str, PoolView] = {}

    def take(self, batch: Sequence[Transaction]) -> PoolView | None:
        """The view to judge `batch` by, if there is one. It is forgotten, so that a retry reads a fresh one."""
        first = batch[0]
        view = self._views.pop(first.sender, None)
        if view is None or len(batch) > 1 or first.nonce != view.next_nonce or first.owner is not None:
            return None
        return view

    def put(self, sender: str, view: PoolView) -> None:
        if len(self._views) >= self._CAP:
            self._views.clear()
        self._views[sender] = view


class _Costs:
    """What waiting transactions cost, in base units. An id always means the same transaction, so each is read once."""

    _CAP = 20_000

    def __init__(self, store: PoolStore, rules: Rules) -> None:
        self._store = store
        self._rules = rules
        self.known: dict[str, int] = {}  # by id; whoever knows a cost may add it

    def of(self, ids: Sequence[str]) -> dict[str, int]:
        """By id, what transactions cost, without those that are not known and no longer wait."""
        if len(self.known) > self._CAP:
            self.known = {}  # replaced and not emptied, since other threads read it
        known = self.known
        found = {identifier: known[identifier] for identifier in ids if identifier in known}
        unknown = [identifier for identifier in ids if identifier not in found]
        for entry in self._store.entries(unknown):
            found[entry.id] = known[entry.id] = cost(self._rules.recall(entry.text, entry.id, entry.nonce))
        return found


def _question(batch: Sequence[Transaction]) -> Question:
    first = batch[0]
    nonces = sorted({transaction.nonce for transaction in batch})
    if first.owner is None:
        return Question(first.sender, nonces)
    return Question(first.sender, nonces, payer=first.owner, pair=(first.owner, first.sender))


# A transaction, and whether it is to be written (False: it waits already), or its refusal.
_Judged = tuple[Transaction, bool | NodeError]


def _judge(judgement: Judgement, transaction: Transaction) -> _Judged:
    try:
        return transaction, judgement.take(transaction)
    except (RuleError, PolicyError) as refusal:
        return transaction, refusal
