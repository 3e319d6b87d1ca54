"""The transactions that a branch mined on demand may hold, and which of them fit its next block."""

from collections.abc import Iterable, Iterator, Sequence

from services.chain.reorganiser import Branch, Reorganiser
from services.mining.sealer import Sealer
from shared.block import Template
from shared.errors import RuleError
from shared.rules import Rules
from shared.transaction import Transaction

# Canonical JSON puts ", " between two transactions.
_SEPARATOR = 2


class Candidates:
    """The transactions that are left for a branch, in the order in which its blocks take them."""

    def __init__(
        self,
        rules: Rules,
        reorganiser: Reorganiser,
        branch: Branch,
        offered: Iterable[Transaction],
        preferred: Sequence[Transaction],
        sealer: Sealer,
    ) -> None:
        """
        Args:
            offered: taken in this order, but each sender's by nonce.
            preferred: of these or others. Those of `offered` with the same sender and nonce are left out.
        """
        self._rules = rules
        self._reorganiser = reorganiser
        self._branch = branch
        self._sealer = sealer
        taken = {(item.sender, item.nonce) for item in preferred}
        self._left = list(_in_sequence([item for item in offered if (item.sender, item.nonce) not in taken]))

    def put_first(self, transactions: Sequence[Transaction]) -> None:
        """Have the next blocks take these before all others."""
        self._left = [*transactions, *self._left]

    def template(self, wanted: Sequence[Transaction], recipient: str, now: float) -> tuple[Template, list[Transaction]]:
        """The branch's next block without its proof, and its transactions besides the reward.

        Args:
            wanted: transactions that it must hold, first and in this order.

        Raises:
            RuleError: one of `wanted` breaks a rule there.
            TipMoved: as `Reorganiser.known`.
            NotASealer: this process may not make the block.
        """
        height = self._branch.window[-1].index + 1
        key, limits = self._sealer.require(height), self._rules.spec.at(height)
        trial = self._rules.trial()
        trial.learn(self._reorganiser.known(self._branch, [*wanted, *self._left]))
        room, places = limits.room, limits.max_block_transactions - 1
        chosen: list[Transaction] = []
        for transaction in wanted:
            trial.apply(transaction)
            chosen.append(transaction)
            room -= transaction.size + _SEPARATOR
        left, progress = self._left, True
        while left and progress:  # one may need the coins, or the nonce, of another that comes after it
            waiting: list[Transaction] = []
            for transaction in left:
                if room < transaction.size + _SEPARATOR or len(chosen) >= places:
                    waiting.append(transaction)
                    continue
                try:
                    trial.apply(transaction)
                except RuleError:
                    waiting.append(transaction)
                    continue
                chosen.append(transaction)
                room -= transaction.size + _SEPARATOR
            progress, left = len(waiting) < len(left), waiting
        return self._rules.template(tuple(self._branch.window), chosen, recipient, now, key), chosen

    def took(self, transactions: Sequence[Transaction]) -> None:
        """A block of the branch holds these."""
        ids = {item.id for item in transactions}
        self._left = [item for item in self._left if item.id not in ids]

    def has(self, transaction_id: str) -> bool:
        """Whether a transaction is still left."""
        return any(item.id == transaction_id for item in self._left)


def _in_sequence(transactions: Sequence[Transaction]) -> Iterator[Transaction]:
    """The transactions in their order, but at the places of a sender its own by nonce."""
    queues: dict[str, list[Transaction]] = {}
    for item in transactions:
        queues.setdefault(item.sender, []).append(item)
    following = {sender: iter(sorted(queue, key=lambda item: item.nonce)) for sender, queue in queues.items()}
    for item in transactions:
        yield next(following[item.sender])
