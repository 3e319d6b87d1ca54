"""What a miner does with a block that it found or heard of. The interface; the strategies are in `lab/strategies/`.

A strategy is asked after each event and answers with an action. It sees the public branch, which everybody knows,
and its own private branch, which only it knows. The same objects run on real nodes and in both simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.forkchoice import TipClaim


@dataclass(frozen=True, slots=True)
class Known:
    """A block as a strategy sees it."""

    hash: str
    height: int
    chainwork: int
    mine: bool  # whether the strategy's own node found it
    fees: int = 0  # base units that its transactions pay to their miner
    parent: str = ""  # the hash of the block before it
    transactions: tuple[str, ...] = ()  # ids, the reward's not included

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.hash)


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy knows when it is asked."""

    public: Known  # the best tip that everybody may know
    # The last block that the public branch and the one that the miner works on have in common: the public tip, unless
    # the miner has blocks of its own above `fork`, or works on an older block of the public branch.
    fork: Known
    private: tuple[Known, ...]  # the own branch above `fork`, oldest first: published blocks and withheld ones
    published: int  # how many blocks of `private` are published, from the oldest on
    block: Known  # what was found or heard just now
    waiting_fees: int = 0  # base units that the next block could earn from the mempool

    @property
    def tip(self) -> Known:
        """The block that the miner works on, unless it gives up."""
        return self.private[-1] if self.private else self.fork

    @property
    def lead(self) -> int:
        """Blocks by which the branch that the miner works on is longer than the public one; negative: shorter."""
        return self.tip.height - self.public.height

    @property
    def withheld(self) -> tuple[Known, ...]:
        return self.private[self.published :]


@dataclass(frozen=True, slots=True)
class Action:
    """What to do. If it cannot be done, that is reported, and the node behaves as an honest one from then on.

    `publish` is how many of the withheld blocks are published now, oldest first; others hear of them at once, as of one
    branch. `give_up` drops the private branch and mines on the public tip; blocks published by the same action are kept
    by those who take them. `onto` is the hash of a block of the public branch to mine on instead, as a fee sniper does;
    the private branch is dropped then as well. A miner that has neither a private branch nor gone `onto` an older
    block follows the public tip by itself.
    """

    publish: int = 0
    give_up: bool = False
    onto: str | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """What a miner knows when its block gets a timestamp. Times are Unix seconds."""

    window: Sequence[Header]  # what `next_difficulty` uses: the newest is the parent
    now: int  # the true time
    # The lowest timestamp: the median of the last 11, as the rules have it; on a real node also the parent's.
    earliest: int
    latest: int  # the highest timestamp that other nodes accept now
    right: float  # the difficulty at which blocks come at the spec's interval
    spec: ChainSpec

    @property
    def parent(self) -> Header:
        return self.window[-1]

    @property
    def height(self) -> int:
        """The height of the block that gets the timestamp."""
        return self.parent.index + 1

    @property
    def newest(self) -> int:
        """The highest timestamp of the last 12 blocks."""
        return max(int(header.timestamp) for header in self.window[-12:])


WAIT = Action()


def publish_all(view: View) -> Action:
    return Action(publish=len(view.withheld))


@runtime_checkable
class TellsTime(Protocol):
    """A strategy may also choose the timestamps of its blocks."""

    def timestamp(self, times: Times) -> int:
        """Unix seconds, from `times.earliest` to `times.latest`."""


@runtime_checkable
class Selects(Protocol):
    """A strategy may also refuse to put payments into its blocks."""

    def takes(self, transaction: str) -> bool:
        """Whether the payment of this id may enter a block that the miner makes."""


class Strategy(Protocol):
    """One miner's behaviour. An object serves one node and may keep state between calls."""

    name: str

    def on_found(self, view: View) -> Action:
        """The miner found `view.block`, which is the last of `view.private`."""

    def on_heard(self, view: View) -> Action:
        """The miner heard of `view.block`, found by others. `view.public` has taken it if it is better."""
