"""Which links of a lab are cut: one by one, or by a partition. The same in every world."""

from __future__ import annotations

from collections.abc import Sequence

from lab.interface import LabError


class Cuts:
    """The cuts between the nodes 1 to `nodes`; at first none.

    A link that was cut alone stays cut through partitions, until it is restored or everything is healed. A link that
    was restored alone works in spite of the partition, until the next one.
    """

    def __init__(self, nodes: int) -> None:
        self._side = dict.fromkeys(range(1, nodes + 1), 0)
        self._cut: set[tuple[int, int]] = set()
        self._restored: set[tuple[int, int]] = set()

    def part(self, groups: Sequence[Sequence[int]]) -> list[list[int]]:
        """Cut what is between different groups. The parts; nodes that are not named are one of them.

        Raises:
            LabError: there is no such node, or one is named twice. Nothing has changed.
        """
        parts = parts_of(len(self._side), groups)
        self._restored.clear()
        for side, part in enumerate(parts):
            for number in part:
                self._side[number] = side
        return parts

    def heal(self) -> list[list[int]]:
        """End every cut. The parts: one with all nodes."""
        self._side = dict.fromkeys(self._side, 0)
        self._cut.clear()
        self._restored.clear()
        return [list(self._side)]

    def change(self, a: int, b: int, cut: bool) -> None:
        """Cut the link from `a` to `b`, or restore it, also if a partition has cut it."""
        ends = (a, b)
        (self._cut if cut else self._restored).add(ends)
        (self._restored if cut else self._cut).discard(ends)

    def __call__(self, a: int, b: int) -> bool:
        """Whether the link from `a` to `b` is cut."""
        ends = (a, b)
        return ends in self._cut or (self._side[a] != self._side[b] and ends not in self._restored)


def parts_of(nodes: int, groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """The groups of a partition of `nodes` nodes, each in order; those that are not named are a group of their own.

    Raises:
        LabError: there is no such node, or one is named twice.
    """
    named = [number for group in groups for number in group]
    for number in named:
        if not 1 <= number <= nodes:
            raise LabError(f"There is no node {number}: this lab has the nodes 1 to {nodes}.")
    if len(set(named)) < len(named):
        raise LabError("A node is in one group of a partition only.")
    rest = set(range(1, nodes + 1)) - set(named)
    return [sorted(part) for part in [*groups, rest] if part]
