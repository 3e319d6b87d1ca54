"""Judging one sender's transactions by the node's policy: fee, nonce, funds, room, replacement."""

from dataclasses import dataclass

from services.errors import Busy, PolicyError
from services.settings.table import Settings
from services.store.pool import Admission, PoolView, Waiting, Written
from shared.errors import RuleError
from shared.transaction import Transaction

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

    @classmethod
    def of(cls, settings: Settings) -> "PoolPolicy":
        return cls(
            min_fee=settings.min_fee,
            max_transactions=settings.max_mempool,
            nonces_ahead=settings.nonces_ahead,
            expiry_seconds=settings.expiry_seconds,
            record_seconds=settings.record_seconds,
            max_records=settings.max_records,
        )


class Judgement:
    """Judges transactions of one sender in turn, against one view of the sender and what was accepted before."""

    def __init__(
        self, policy: PoolPolicy, view: PoolView, total: int, costs: dict[str, int], *, replaces: bool = True
    ) -> None:
        """
        Args:
            total: what the sender's queue costs, base units.
            costs: by id, what each transaction that may be replaced costs, base units.
            replaces: whether a transaction may take the place of one that waits.
        """
        self._policy = policy
        self.view = view
        self._total = total
        self._costs = costs
        self._replaces = replaces
        self.next_nonce = view.next_nonce
        self._new = 0  # accepted transactions that replace nothing
        self._displaced: Waiting | None = None
        self._replacements: list[int] = []
        self.accepted: list[Transaction] = []

    def take(self, transaction: Transaction) -> bool:
        """Accept `transaction`; False if it is waiting already, and nothing is to be written.

        Raises:
            RuleError: `nonce_too_low`, `insufficient_funds`, `insufficient_allowance`.
            PolicyError: `fee_too_low`, `nonce_too_far`, `replacement_underpriced`, `too_many_replacements`.
            Busy: `mempool_full`.
        """
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
        replacements = self._replaced(transaction, old) if old is not None else 0
        # An entry that left since the view was read costs nothing here; the write then fails, and the view is read
        # again.
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

    def _replaced(self, transaction: Transaction, old: Waiting) -> int:
        """How often the nonce of `old` will have been replaced, once `transaction` takes its place."""
        if not self._replaces or not outbids(transaction.fee, old.fee):
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
        # One displacement per write, never of the sender's own queue, and never for a transaction after a gap.
        if self._displaced is not None or end is None or transaction.nonce > self.next_nonce:
            raise full
        if not outbids(transaction.fee, end.fee) or view.cheapest_sender == transaction.sender:
            raise full
        self._displaced = end

    def admission(self) -> Admission:
        """What is to be written for the accepted transactions."""
        return Admission(
            sender=self.accepted[0].sender,
            view=self.view,
            transactions=self.accepted,
            replacements=self._replacements,
            total=self._total,
            displaced=self._displaced,
        )

    def after(self, written: Written) -> PoolView:
        """The view that a read would give now, as far as the sender's next transaction is concerned."""
        return self.view._replace(
            revision=written.revision,
            next_nonce=written.next_nonce,
            total=self._total,
            height=written.height,
            at_nonce={},
            fresh=False,
        )


def outbids(new: int, old: int) -> bool:
    """Whether a fee is high enough to take another's place: higher, by a tenth at least."""
    return new > old and 10 * new >= 11 * old


def cost(transaction: Transaction) -> int:
    """The most that a transaction takes from its sender's balance, in base units."""
    return transaction.fee + (transaction.amount if transaction.payer == transaction.sender else 0)
