"""What a miner does with a block that it found or heard of. The interface; the strategies are in `lab/strategies/`.

A strategy is asked after each event and answers with an action. It sees the public branch, which everybody knows,
and its own private branch, which only it knows. The same objects run on real nodes and in both simulations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.forkchoice import TipClaim


@dataclass(frozen=True, slots=True)
class Known:
    """A block as a strategy sees it."""

    hash: str
    height: int
    chainwork: int
    mine: bool  # whether the strategy's own node found it
    fees: int = 0  # base units that its transactions pay to their miner

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.hash)


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy knows when it is asked."""

    public: Known  # the best tip that everybody may know
    fork: Known  # the last block that the public and the private branch have in common
    private: tuple[Known, ...]  # the own branch above `fork`, oldest first: published blocks and withheld ones
    published: int  # how many blocks of `private` are published, from the oldest on
    block: Known  # what was found or heard just now
    waiting_fees: int = 0  # base units that the next block could earn from the mempool

    @property
    def tip(self) -> Known:
        """The block that the miner works on, unless it gives up."""
        return self.private[-1] if self.private else self.public

    @property
    def lead(self) -> int:
        """Blocks by which the private branch is longer than the public one; negative: shorter."""
        return self.tip.height - self.public.height if self.private else 0

    @property
    def withheld(self) -> tuple[Known, ...]:
        return self.private[self.published :]


@dataclass(frozen=True, slots=True)
class Action:
    """What to do. Raises `ValueError` in the lab, and is reported, if it cannot be done.

    `publish` is how many of the withheld blocks are published now, oldest first. `give_up` drops the private branch
    and mines on the public tip; blocks published by the same action are kept by those who take them. `onto` is the
    hash of a block of the public branch to mine on instead, as a fee sniper does.
    """

    publish: int = 0
    give_up: bool = False
    onto: str | None = None


WAIT = Action()


def publish_all(view: View) -> Action:
    return Action(publish=len(view.withheld))


class Strategy(Protocol):
    """One miner's behaviour. An object serves one node and may keep state between calls."""

    name: str

    def on_found(self, view: View) -> Action:
        """The miner found `view.block`, which is the last of `view.private`."""

    def on_heard(self, view: View) -> Action:
        """The miner heard of `view.block`, found by others. `view.public` has taken it if it is better."""
