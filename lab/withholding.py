"""What a front does with the blocks of its miner and of others: the part that is the same in every world.

A front stands between an ordinary node whose miner has a strategy and the node's peers. The peers are shown the branch
that the strategy has published, `Withholding.public`. The node is shown the branch that the strategy works on,
`Withholding.base`: blocks of others are held back until the strategy takes them. How a front speaks and listens is in
`lab/simulated/front.py` and `lab/real/front.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from lab.guard import Guard
from lab.strategy import Known, Strategy, Times, View
from shared.forkchoice import is_better

Find = Callable[[str], Known | None]


class Surroundings(Protocol):
    """What a front can do in its world. No method raises, and none waits for what follows from it."""

    def note(self, kind: Literal["withheld", "published"], hash: str) -> None:
        """Record what becomes of a block of the miner."""

    def announce(self, tip: Known) -> None:
        """Tell all peers of a tip, in the node's name."""

    def show(self, base: Known) -> None:
        """Tell the node that its peers have this tip. It is better than the node's own, so the node takes it."""

    def take_back(self, base: Known) -> None:
        """Have the node leave its branch for `base`, which is not better than the node's tip."""

    def waiting_fees(self) -> int:
        """Fees in the node's mempool, base units."""

    def failed(self, sentence: str) -> None:
        """Report the strategy: it is not asked again."""


class Withholding:
    """The blocks of one miner with a strategy. Not for several threads at once.

    Args:
        find: a block by its hash, as the strategy sees it; None: nobody has it.
        tip: of the node, and of everybody else, at the beginning.
    """

    def __init__(self, strategy: Strategy, surroundings: Surroundings, find: Find, tip: Known) -> None:
        self.ended = False
        self.public = tip  # the best tip that everybody may know
        self.base = tip  # the tip that the node is shown
        self._guard = Guard(strategy, surroundings.failed)
        self._surroundings = surroundings
        self._find = find
        self._node_tip = tip
        self._pinned = False  # the strategy works on an older block of the public branch
        self._leaving = False  # the node has yet to go back to `base`
        self._told = {tip.hash}  # blocks of others that the strategy was told of
        self._asked: set[str] = set()  # own blocks that the strategy was asked about
        self._published: set[str] = set()  # own blocks that are shown

    # --- what happens ---

    def heard(self, tip: Known) -> None:
        """Others have this tip. The strategy is told, unless it was told of it; it knows all blocks below it then."""
        if self.ended or self._is_known(tip):
            return
        block: Known | None = tip
        while block is not None and not self._is_known(block):
            self._told.add(block.hash)
            block = self._find(block.parent)
        if is_better(tip.claim, self.public.claim):
            follows = not self._pinned and not self._is_ahead()
            self.public = tip
            if follows:
                self.base = tip  # the node is told of it when the strategy has answered
        self._act("on_heard", tip)

    def moved(self, tip: Known) -> None:
        """The node has another tip. The strategy is asked about the blocks that the node has found."""
        if self.ended:
            return
        self._node_tip = tip
        if self._leaving:
            if self._fork(tip, self.base).hash not in (tip.hash, self.base.hash):
                self._lead()  # it has found a block on the branch that it is to leave
                return
            self._leaving = False
        for block in self._above(tip):  # several, if the node was faster than the news of its blocks
            if self.ended or not block.mine or block.hash in self._asked:
                continue
            self._node_tip = block
            if self.tip.hash == block.hash:  # else it has been shown a better one, and leaves this one
                self._asked.add(block.hash)
                self._act("on_found", block)
                if not self.ended and block.hash not in self._published:
                    self._surroundings.note("withheld", block.hash)
        self._node_tip = tip

    def remind(self) -> None:
        """Tell the node again what it has not done yet: it may have been away, or busy."""
        if not self.ended and (self._leaving or is_better(self.base.claim, self._node_tip.claim)):
            self._lead()

    def takes(self, transactions: Sequence[str]) -> list[bool]:
        """Whether each payment, named by its id, may enter the miner's blocks."""
        taken = self._guard.takes(transactions)
        if self._guard.failed:
            self.end()
        return taken

    def timestamp(self, times: Times) -> int | None:
        """The timestamp that the strategy wants for the next block; None: it does not choose, or has failed."""
        chosen = None if self.ended else self._guard.timestamp(times)
        if self._guard.failed:
            self.end()
        return chosen

    def end(self) -> None:
        """The node behaves as every other one from now on: it publishes what it has."""
        if self.ended:
            return
        self.ended, self._leaving = True, False
        if self._is_ahead():
            own = [block.hash for block in self._above(self.tip)]
            self._publish([name for name in own if name not in self._published] or own[-1:])
        self.base = self.public
        self._surroundings.show(self.base)

    # --- what the strategy sees, and does ---

    @property
    def tip(self) -> Known:
        """The block that the node works on, or will as soon as it has taken what it was shown."""
        left = self._leaving or is_better(self.base.claim, self._node_tip.claim)
        return self.base if left else self._node_tip

    def view(self, block: Known) -> View:
        """What the strategy knows when it is asked about a block."""
        tip = self.tip
        private = self._above(tip)
        shown = sum(each.hash in self._published for each in private)
        fork = self._fork(tip, self.public)
        return View(self.public, fork, tuple(private), shown, block, self._surroundings.waiting_fees())

    def left_for(self, tip: Known, base: Known) -> list[Known]:
        """The blocks that a node with this tip has to leave for `base`, oldest first; none if `base` is above it."""
        fork = self._fork(tip, base)
        found = []
        while tip.hash != fork.hash:
            found.append(tip)
            tip = self._parent(tip)
        return found[::-1]

    def _act(self, event: Literal["on_found", "on_heard"], block: Known) -> None:
        """Ask the strategy about a block, and do what it says. After a failure it is not asked again."""
        view = self.view(block)
        action = self._guard.on_found(view) if event == "on_found" else self._guard.on_heard(view)
        if self._guard.failed:
            self.end()
            return
        onto = None if action.onto is None else self._find(action.onto)
        if action.onto is not None and (onto is None or self._fork(onto, self.public).hash != onto.hash):
            self._guard.fail(f"wants to mine onto {action.onto!r:.40}, which is no block of the public branch")
            self.end()
            return
        if action.publish:
            self._publish([known.hash for known in view.withheld[: action.publish]])
        if onto is not None:
            self._go(onto, pinned=onto.hash != self.public.hash)
        elif action.give_up or not (self._pinned or self._is_ahead()):
            self._go(self.public, pinned=False)

    def _publish(self, hashes: list[str]) -> None:
        for name in hashes:
            self._published.add(name)
            self._surroundings.note("published", name)
        newest = self._find(hashes[-1])
        assert newest is not None, "the node has found it"
        if is_better(newest.claim, self.public.claim):
            self.public = newest
            if newest.hash == self.tip.hash:
                self._pinned = False
        self._surroundings.announce(newest)

    def _go(self, base: Known, *, pinned: bool) -> None:
        """Show the node the chain that ends with `base`. An ordinary node takes it if it is better than its own; else
        its branch is taken back.
        """
        self.base, self._pinned = base, pinned
        left = self.left_for(self._node_tip, base)
        self._leaving = any(block.mine for block in left) or (bool(left) and not self._is_taken(base))
        if self._node_tip.hash != base.hash:
            self._lead()

    def _lead(self) -> None:
        """Bring the node to the base."""
        if self._is_taken(self.base):
            self._surroundings.show(self.base)
        else:
            self._surroundings.take_back(self.base)

    def _is_taken(self, base: Known) -> bool:
        """Whether an ordinary node with the node's tip takes another."""
        return is_better(base.claim, self._node_tip.claim)

    # --- branches ---

    def _is_known(self, block: Known) -> bool:
        return block.mine or block.height == 1 or block.hash in self._told

    def _is_ahead(self) -> bool:
        """Whether the node has blocks of its own that are not on the public branch."""
        tip = self.tip
        return self._fork(tip, self.public).hash != tip.hash

    def _above(self, tip: Known) -> list[Known]:
        """The blocks up to `tip` that are not on the public branch, oldest first."""
        return self.left_for(tip, self.public)

    def _fork(self, one: Known, other: Known) -> Known:
        """The last block that two branches have in common."""
        while one.hash != other.hash:
            if one.height >= other.height:
                one = self._parent(one)
            else:
                other = self._parent(other)
        return one

    def _parent(self, block: Known) -> Known:
        parent = self._find(block.parent)
        assert parent is not None, "all branches begin with genesis"
        return parent
