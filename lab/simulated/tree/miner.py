"""A miner with a strategy: its private branch, what it is asked, and what its answers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from lab.guard import TooLate, answer_of, is_taken
from lab.simulated.tree.blocks import Block, branch, common_ancestor
from lab.strategy import Action, Selects, Strategy, TellsTime, View
from shared.forkchoice import TipClaim

# How far below the public tip a miner may go with `onto`.
DEEPEST = 1000


class StrategyError(Exception):
    """A strategy raised, or asked for something that cannot be done: one sentence."""


class Surroundings(Protocol):
    """What a miner asks of its network."""

    better: Callable[[TipClaim, TipClaim], bool]

    def move(self, index: int, tip: Block) -> None:
        """Have the node work on another block."""

    def send(self, index: int, block: Block) -> None:
        """Tell the others of a block and all before it."""

    def shown(self, index: int, blocks: list[Block]) -> None:
        """Note that withheld blocks were published."""

    def waiting_fees(self, index: int) -> int:
        """Base units that the node's next block can earn."""


class Miner:
    """Carries out a strategy for one node.

    `tip` is the block that it works on, `public` the best one that everybody may know, `fork` the last that both
    branches have. `private` are the blocks above `fork` up to `tip`.
    """

    def __init__(self, network: Surroundings, index: int, strategy: Strategy, tip: Block) -> None:
        self.strategy = strategy
        # What a strategy may have besides (`TellsTime` and `Selects`); looked for once, as that takes long.
        self.clock = strategy if isinstance(strategy, TellsTime) else None
        self._selects = strategy if isinstance(strategy, Selects) else None
        self.takes = self._takes if self._selects is not None else None
        self.tip = self.public = self.fork = tip
        self.private: list[Block] = []
        self._network = network
        self._index = index
        self._aside = False  # it went `onto` a block below the public tip

    def found(self, block: Block) -> None:
        """The node found a block on its tip."""
        self.private.append(block)
        self._work_on(block)
        self._ask("on_found", block)

    def heard(self, block: Block) -> None:
        """News came of a block, and all before it, that somebody else published."""
        if block is self.public:
            return
        if self._network.better(block.claim, self.public.claim):
            extends = block.parent is self.public
            self.public = block
            if not self.private and not self._aside:
                self._follow()
            elif not extends:  # else `fork` stays: the block is not ours
                self._find_fork()
        self._ask("on_heard", block)

    def _takes(self, payment: str) -> bool:
        """Whether the payment of this id may enter the miner's blocks. Raises `StrategyError`."""
        assert self._selects is not None
        try:
            return is_taken(self._selects, payment)
        except TooLate as error:
            raise StrategyError(f"{error} in takes") from error
        except Exception as error:
            raise StrategyError(f"{type(error).__name__} in takes: {error}") from error

    def withheld(self) -> list[Block]:
        return [block for block in self.private if not block.published]

    def surrender(self) -> None:
        """Publish everything, and work on the best tip: what a node does whose strategy is taken away."""
        self._publish(self.withheld())
        self._follow()

    def _ask(self, event: Literal["on_found", "on_heard"], block: Block) -> None:
        index = self._index
        withheld = len(self.withheld()) if self.private else 0
        view = View(
            public=self.public.known(index),
            fork=self.fork.known(index),
            private=tuple([each.known(index) for each in self.private]),
            published=len(self.private) - withheld,
            block=block.known(index),
            waiting_fees=self._network.waiting_fees(index),
        )
        try:
            action = answer_of(self.strategy, event, view)
        except TooLate as error:
            raise StrategyError(str(error)) from error
        except Exception as error:
            raise StrategyError(f"{type(error).__name__} in {event}: {error}") from error
        self._act(action, withheld)

    def _act(self, action: Action, withheld: int) -> None:
        if not isinstance(action, Action):
            raise StrategyError(f"it answered with {type(action).__name__:.60}, not with Action")
        publish, onto = action.publish, action.onto
        if type(publish) is not int or not 0 <= publish <= withheld:
            raise StrategyError(f"it publishes another number of blocks than 0 to {withheld}")
        if publish:
            self._publish(self.withheld()[:publish])
        if onto is not None:
            self._go_onto(onto)
        elif action.give_up or (not self.private and not self._aside):
            self._follow()

    def _publish(self, blocks: list[Block]) -> None:
        if not blocks:
            return
        for block in blocks:
            block.published = True
        last = blocks[-1]
        self._network.shown(self._index, blocks)
        if self._network.better(last.claim, self.public.claim):
            self.public = last
            self._find_fork()
        self._network.send(self._index, last)

    def _go_onto(self, hash: str) -> None:
        for block, _ in zip(self.public.ancestors(), range(DEEPEST), strict=False):
            if block.hash == hash:
                self.private = []
                self.fork = block
                self._aside = block is not self.public
                self._work_on(block)
                return
        raise StrategyError("it works on a block that is not in the public branch")

    def _follow(self) -> None:
        self.private = []
        self.fork = self.public
        self._aside = False
        self._work_on(self.public)

    def _find_fork(self) -> None:
        self.fork = common_ancestor(self.tip, self.public)
        self.private = branch(self.fork, self.tip)
        self._aside = self._aside and not self.private and self.tip is not self.public

    def _work_on(self, block: Block) -> None:
        if block is not self.tip:
            self.tip = block
            self._network.move(self._index, block)
