"""Accepting one block: read → validate → append. The same three steps for blocks we mined and blocks we fetched."""

from collections.abc import Callable
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
    request: str | None  # the mining request that it answers


class Acceptor:
    """The only door through which a block that extends the tip gets in."""

    def __init__(self, chain: ChainStore, rules: Rules, clock: Clock, finish: Callable[[], None]) -> None:
        """`finish` finishes a reorganisation that was interrupted."""
        self._finish = finish
        self._chain = chain
        self._rules = rules
        self._clock = clock

    def accept(self, block: Block, sealed_by: SealedBy | None = None) -> Accepted:
        """Append `block`, if it is valid and extends the tip.

        Args:
            sealed_by: the round and worker that found its proof; None for a peer's block.

        Raises:
            RuleError: it is invalid, and stays so.
            TooEarly: its time has not come.
            TipMoved: it does not extend the tip, or another block was appended first.
        """
        tip, known = self._chain.entries(self._rules.touched(block.transactions))
        if block.hash == tip.hash:
            return Accepted(block, None)
        if block.header.previous_hash != tip.hash:
            raise TipMoved("The block does not extend the tip.")
        now = self._clock.now()
        change = validate(self._rules, block, self._chain.window(tip), known, now)
        block = self._rules.placed(block, change.before)
        try:
            return Accepted(block, self._chain.append(block, change, tip, now, sealed_by))
        except Unfinished:
            self._finish()
            return Accepted(block, self._chain.append(block, change, tip, now, sealed_by))
