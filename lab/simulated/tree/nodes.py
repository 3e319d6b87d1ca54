"""A node of the tree, and what wants to know of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lab.simulated.tree.blocks import Block
from lab.simulated.tree.miner import Miner


class Watcher(Protocol):
    """Is told what happens in a network."""

    def found(self, block: Block) -> None: ...

    def heard(self, index: int, block: Block) -> None: ...

    def moved(self, index: int, old: Block, new: Block) -> None: ...

    def withheld(self, index: int, block: Block) -> None: ...

    def shown(self, index: int, blocks: Sequence[Block]) -> None: ...


class Node:
    """One node: the block that it works on, its hash rate (hashes per second), and its strategy, if it has one."""

    __slots__ = ("index", "miner", "rate", "tip")

    def __init__(self, index: int, rate: float, tip: Block) -> None:
        self.index = index
        self.rate = rate
        self.tip = tip
        self.miner: Miner | None = None

    @property
    def public(self) -> Block:
        """The best block that the node knows and others may know."""
        return self.tip if self.miner is None else self.miner.public
