"""Accepting one block: validate → append → notify. The steps are the same for mined and for fetched blocks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.errors import TipMoved, Unfinished
from services.ports import Clock
from services.store.chain import ChainStore, SealedBy
from shared.block import Block
from shared.rules import Rules
from shared.validation import validate


@dataclass(frozen=True, slots=True)
class Accepted:
    """A block that is on the chain now."""

    block: Block
    sealed_by: SealedBy | None  # None: it came from a peer, or from a file
    request: str | None  # id of the mining request that it answers


class Acceptor:
    """Appends blocks that extend the tip. No other code does."""

    def __init__(
        self,
        chain: ChainStore,
        rules: Rules,
        clock: Clock,
        finish: Callable[[], None],
        senders: Callable[[Sequence[str]], Mapping[str, str]],
        subscribers: Sequence[Callable[[Accepted], None]],
    ) -> None:
        """
        Args:
            finish: finishes a reorganisation that was interrupted.
            senders: by id, the senders of those transactions that wait in the mempool. Their signatures were verified
                when they were admitted.
            subscribers: called in turn with each block that was accepted.
        """
        self._chain = chain
        self._rules = rules
        self._clock = clock
        self._finish = finish
        self._senders = senders
        self._subscribers = subscribers

    def accept(self, block: Block, sealed_by: SealedBy | None = None) -> Accepted:
        """Append `block`, if it is valid and extends the tip, and tell the subscribers.

        If it is the tip already, nothing is written. The subscribers are told all the same: an earlier call may have
        been cut off between writing and telling them.

        Args:
            sealed_by: the round and worker that found its proof; None for a peer's block.

        Raises:
            RuleError: it is invalid, and stays so.
            TooEarly: its timestamp lies too far in the future. It may be valid later.
            TipMoved: it does not extend the tip, or another block was appended first.
            LedgerDiffers: the stored state is marked as wrong.
        """
        tip, known = self._chain.entries(self._rules.touched(block.transactions))
        if block.hash == tip.hash:
            accepted = Accepted(block, sealed_by, None)
        elif block.header.previous_hash != tip.hash:
            raise TipMoved("The block does not extend the tip.")
        else:
            now = self._clock.now()
            senders = self._senders([transaction.id for transaction in block.transactions])
            change = validate(self._rules, block, self._chain.window(tip), known, tip.time_limit(now), senders)
            block = self._rules.placed(block, change.before)
            try:
                request = self._chain.append(block, change, tip, now, sealed_by)
            except Unfinished:
                self._finish()
                request = self._chain.append(block, change, tip, now, sealed_by)
            accepted = Accepted(block, sealed_by, request)
        for tell in self._subscribers:
            tell(accepted)
        return accepted
