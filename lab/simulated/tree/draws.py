"""Where chance comes in: when the next block is found, by whom, and with which hash."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Draw:
    """One found block, as a replay is given it.

    Everything else follows from the links, the strategies and the rules.
    """

    time: float  # seconds since the network began; never less than that of the draw before
    finder: int  # the node's number, from 1
    hash: str  # 64 hex digits; must meet the block's difficulty
    timestamp: int | None = None  # Unix seconds in the header; None: the true time, or the strategy's choice


class BadDraws(ValueError):
    """A list of draws cannot be replayed: one sentence."""


class Luck:
    """Random draws: the same seed, the same draws, on every machine."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.random = random.random
        self._bits = random.getrandbits

    def wait(self) -> float:
        """The time to the next event of a process of rate 1 (the exponential law)."""
        return -math.log(1.0 - self.random())

    def hash(self, difficulty: int) -> str:
        """Uniform among the hashes that meet the difficulty."""
        return f"{self._bits(256) // difficulty:064x}"


def check_draws(draws: Iterable[Draw], nodes: int) -> list[Draw]:
    """The draws as a list. Raises `BadDraws`."""
    checked: list[Draw] = []
    seen: set[str] = set()
    for draw in draws:
        if (checked and draw.time < checked[-1].time) or not 0 <= draw.time < math.inf:
            raise BadDraws(f"Draw {len(checked) + 1} has the time {draw.time}: times begin at 0 and never fall.")
        if not 1 <= draw.finder <= nodes:
            raise BadDraws(f"Draw {len(checked) + 1} names node {draw.finder}; there are {nodes}.")
        if draw.hash in seen:
            raise BadDraws(f"Draw {len(checked) + 1} has the hash of an earlier one.")
        seen.add(draw.hash)
        checked.append(draw)
    return checked
