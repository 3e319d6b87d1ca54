"""The links between nodes, and how long news of a block takes over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.interface import Conditions

# What a block weighs on a link with a limited rate, in bytes: an empty block with its reward, about.
BLOCK_BYTES = 800

# From one node: (seconds, jitter of all links on the way, the indices of the nodes that are reached at that time).
Routes = list[tuple[float, float, tuple[int, ...]]]


class Links:
    """One link from each node to each other. News takes the fastest way, also over other nodes, as gossip does.

    Nodes are indices from 0. A node that is down has no links.
    """

    def __init__(self, count: int, latency: float = 0.0) -> None:
        self.count = count
        self._all = {(a, b): Conditions(latency) for a in range(count) for b in range(count) if a != b}
        self._down: set[int] = set()
        self._routes: list[Routes] | None = None
        self.disturbed = False  # whether some link is cut, or some node down

    def __getitem__(self, ends: tuple[int, int]) -> Conditions:
        return self._all[ends]

    def change(
        self,
        a: int,
        b: int,
        *,
        latency: float | None = None,
        jitter: float | None = None,
        rate: float | None = None,
    ) -> None:
        """Change what is named; the rest stays. A rate of 0 ends the limit."""
        now = self._all[a, b]
        self._all[a, b] = replace(
            now,
            latency=now.latency if latency is None else latency,
            jitter=now.jitter if jitter is None else jitter,
            rate=now.rate if rate is None else rate or None,
        )
        self._changed()

    def set_cuts(self, cut: Callable[[int, int], bool]) -> None:
        """Cut exactly those links for which `cut(a, b)` says so."""
        self._all = {ends: replace(link, cut=cut(*ends)) for ends, link in self._all.items()}
        self._changed()

    def set_down(self, node: int, down: bool) -> None:
        (self._down.add if down else self._down.discard)(node)
        self._changed()

    def _changed(self) -> None:
        self._routes = None
        self.disturbed = bool(self._down) or any(link.cut for link in self._all.values())

    def routes(self, source: int) -> Routes:
        """To whom a block from `source` goes, and when it is there: one entry for each time, the nearest first."""
        if self._routes is None:
            self._routes = self._find_routes()
        return self._routes[source]

    def reaches(self, source: int, target: int) -> bool:
        """Whether some way leads from `source` to `target` now."""
        return any(target in targets for _, _, targets in self.routes(source))

    def open(self, a: int, b: int) -> bool:
        """Whether the link itself works."""
        return not (self._all[a, b].cut or a in self._down or b in self._down)

    def _find_routes(self) -> list[Routes]:
        """The fastest ways between all nodes (Floyd and Warshall), by latency and by what the rate adds."""
        nodes = range(self.count)
        best: list[list[tuple[float, float] | None]] = [[None] * self.count for _ in nodes]
        for (a, b), link in self._all.items():
            if self.open(a, b):
                best[a][b] = (link.latency + (BLOCK_BYTES / link.rate if link.rate else 0.0), link.jitter)
        if len(set(self._all.values())) > 1:  # where all links are alike, the direct one is the fastest
            for middle in nodes:
                for a in nodes:
                    first = best[a][middle]
                    if first is None or a == middle:
                        continue
                    for b in nodes:
                        second, known = best[middle][b], best[a][b]
                        if second is None or b == a:
                            continue
                        if known is None or first[0] + second[0] < known[0]:
                            best[a][b] = (first[0] + second[0], first[1] + second[1])
        return [self._group(best[a]) for a in nodes]

    def _group(self, ways: list[tuple[float, float] | None]) -> Routes:
        """One event serves all nodes that hear of a block at the same time."""
        groups: dict[tuple[float, float], list[int]] = {}
        for target, way in enumerate(ways):
            if way is not None:
                groups.setdefault(way, []).append(target)
        return [(delay, jitter, tuple(targets)) for (delay, jitter), targets in sorted(groups.items())]
