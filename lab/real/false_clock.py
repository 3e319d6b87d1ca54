"""The timestamps of a real node's blocks, where its strategy chooses them.

The node's code knows nothing of lies: on a development chain the clock of each node can be set, and so it is set anew
for each block (`evm_setNextBlockTimestamp`). The node's peers are ordinary ones, and refuse what is too far ahead of
their clocks.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

from lab.blocktree import BlockTree
from lab.interface import LabBlock, LabError
from lab.real.node import RealNode
from lab.strategy import Times
from shared.block import Header
from shared.chain_spec import ChainSpec
from shared.difficulty import WINDOW
from shared.timestamps import max_ahead, median_time

# Seconds in which a clock is set right: the last blocks may be from the future.
_RIGHT_SECONDS = 60
MANY = 10  # refusals


class FalseClock:
    """The clock of one node's chain. Not for several threads at once.

    Args:
        nodes: all nodes of the lab.
        choose: asks the strategy; None: it is not asked any more.
    """

    def __init__(
        self,
        node: RealNode,
        nodes: Sequence[RealNode],
        tree: BlockTree,
        spec: ChainSpec,
        choose: Callable[[Times], int | None],
    ) -> None:
        self._node = node
        self._nodes = nodes
        self._tree = tree
        self._spec = spec
        self._choose = choose
        self._left = threading.Event()
        self._refused = 0  # times, since the clock was set
        self._set: tuple[str, int] | None = None  # the tip for which the clock was set, and the timestamp

    def look(self) -> None:
        """Set the node's clock, if the strategy wants another timestamp for the next block than the last time.

        Each time that the clock is set, the node's miner begins with another template: what it has found for the last
        one counts no more.

        Raises:
            LabError: the node does not run, or refuses.
        """
        tip = self._tree.tip(self._node.number)
        if tip is None or self._node.state != "running":
            return
        window = self._window(tip)
        now = int(time.time())
        # A node's own blocks are never before their parents, as anvil's are not. The difficulty counts such blocks as
        # one second after their parents, so nothing is lost.
        earliest = max(median_time(window), int(tip.timestamp))
        latest = max(now + max_ahead(self._spec.block_interval), earliest)
        chosen = self._choose(Times(window, now, earliest, latest, self._right(window), self._spec))
        if chosen is not None and self._set != (tip.hash, chosen):
            self._set_to(chosen)
            self._set = (tip.hash, chosen)

    def _set_to(self, timestamp: int) -> None:
        """Set the clock. A refusal now and then is a race with a new block; many, one after the other, are told."""
        try:
            self._node.control("evm_setNextBlockTimestamp", timestamp)
        except LabError as error:
            self._refused += 1
            if self._refused == MANY and self._node.state == "running":
                self._tree.note("said", text=f"The clock of {self._node.name} cannot be set: {error}")
            raise
        self._refused = 0

    async def every_second(self, look: Callable[[], None], ended: threading.Event) -> None:
        """Have `look` called in each second of the clock until the event."""
        while not ended.is_set():
            look()
            await asyncio.sleep(1.0 - time.time() % 1.0)

    def set_right(self) -> None:
        """Set the node's clock to the true time, or to the median of the last blocks until that is past.

        Raises:
            LabError: the node does not run, or refuses.
        """
        for _ in range(_RIGHT_SECONDS):
            tip = self._tree.tip(self._node.number)
            now = int(time.time())
            earliest = now if tip is None else median_time(self._window(tip))
            self._node.control("evm_setTime", max(now, earliest))
            if earliest <= now or self._left.wait(1.0):
                return

    def leave(self) -> None:
        """The lab ends: the clock stays as it is."""
        self._left.set()

    def _right(self, window: Sequence[Header]) -> float:
        """The difficulty at which blocks come at the spec's interval; the parent's, if a node has no limit."""
        rates = [node.hash_rate for node in self._nodes if node.state == "running"]
        if None in rates:
            return window[-1].difficulty
        return sum(rate for rate in rates if rate is not None) * self._spec.block_interval

    def _window(self, tip: LabBlock) -> list[Header]:
        """The headers that end with `tip`, as far as times and difficulties go."""
        found: list[Header] = []
        block: LabBlock | None = tip
        while block is not None and len(found) < WINDOW:
            parent = self._tree.block(block.parent)
            difficulty = block.chainwork - (parent.chainwork if parent is not None else 0)
            found.append(Header(block.height, int(block.timestamp), "", difficulty, "", 0, block.hash))
            block = parent
        return found[::-1]
