"""What connects the nodes of a simulated lab: one wire for each direction, with its conditions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

from lab.cuts import Cuts
from lab.interface import Conditions, LabError

# Seconds that a message takes on one machine, and bytes of a message besides its body.
LOCAL = 0.001
HEAD = 200


class Wire:
    """What `to` hears from `sender`: a line on which one message follows another, where its rate is bounded."""

    def __init__(self, sender: int, to: int, cuts: Cuts, told: Callable[[Wire], None]) -> None:
        """`told` is called after each change that a scenario makes of this wire alone."""
        self.sender = sender
        self.to = to
        self._told = told
        self._conditions = Conditions()
        self._cuts = cuts
        self._free_at = 0.0  # when the last message has been sent

    @property
    def conditions(self) -> Conditions:
        return replace(self._conditions, cut=self._cuts(self.sender, self.to))

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        """Change what is named; the rest stays. A rate of 0 ends the limit.

        Raises:
            LabError: a number below 0.
        """
        for name, value in (("latency", latency), ("jitter", jitter), ("rate", rate)):
            if value is not None and not 0 <= value < float("inf"):
                raise LabError(f"The {name} of a link cannot be {value!r}.")
        before = self._conditions
        self._conditions = Conditions(
            latency=before.latency if latency is None else latency,
            jitter=before.jitter if jitter is None else jitter,
            rate=before.rate if rate is None else rate or None,
        )
        self._told(self)

    def cut(self) -> None:
        """Refuse connections, and end those that are open."""
        self._cuts.change(self.sender, self.to, True)
        self._told(self)

    def restore(self) -> None:
        """End the cut. Latency, jitter and rate stay."""
        self._cuts.change(self.sender, self.to, False)
        self._told(self)

    def seconds(self, size: int, now: float, chance: random.Random) -> float:
        """How long a message of `size` bytes takes that is sent now. It waits for those before it."""
        conditions = self._conditions
        waits = 0.0
        if conditions.rate is not None:
            begins = max(now, self._free_at)
            self._free_at = begins + (size + HEAD) / conditions.rate
            waits = self._free_at - now
        return LOCAL + waits + conditions.latency + chance.uniform(0.0, conditions.jitter)


class Wires:
    """All wires between the nodes 1 to `nodes`."""

    def __init__(self, nodes: int, told: Callable[[Wire], None]) -> None:
        self.cuts = Cuts(nodes)
        self._all = {(a, b): Wire(a, b, self.cuts, told) for a, b in permutations(range(1, nodes + 1), 2)}

    def get(self, sender: int, to: int) -> Wire | None:
        """The wire between two nodes; None if one of them is none."""
        return self._all.get((sender, to))
