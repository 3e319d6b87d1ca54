"""The links of a real lab: the router's, with the cuts of partitions, and with every change in the recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import permutations

from lab.cuts import Cuts
from lab.interface import Conditions
from lab.real.router import LinkHandle, Router


class Wiring:
    """The links between the nodes 1 to `nodes`, which the router must know before anything is asked here."""

    def __init__(self, router: Router, nodes: int, note: Callable[..., object]) -> None:
        self._router = router
        self._nodes = nodes
        self._note = note
        self._cuts = Cuts(nodes)

    def link(self, a: int, b: int) -> NotedLink:
        """Raises `LabError`: there is no such node, or it is one and the same."""
        return NotedLink(self, self._router.link(a, b), a, b)

    def partition(self, groups: Sequence[Sequence[int]]) -> None:
        """Raises `LabError`: there is no such node, or one is named twice. Nothing has changed."""
        parts = self._cuts.part(groups)
        self._apply()
        self._note("groups", groups=parts)

    def heal(self) -> None:
        parts = self._cuts.heal()
        self._apply()
        self._note("groups", groups=parts)

    def change(self, link: NotedLink, cut: bool) -> None:
        """Cut one link, or restore it."""
        self._cuts.change(*link.ends, cut)
        self._apply()
        self.note(link)

    def note(self, link: NotedLink) -> None:
        a, b = link.ends
        self._note("link", **{"from": a, "to": b}, **asdict(link.conditions))

    def _apply(self) -> None:
        """Have the router cut what is to be cut, and restore what is not."""
        for a, b in permutations(range(1, self._nodes + 1), 2):
            link, cut = self._router.link(a, b), self._cuts(a, b)
            if cut != link.conditions.cut:
                link.cut() if cut else link.restore()


class NotedLink:
    """One link, as scenarios see it."""

    def __init__(self, wiring: Wiring, link: LinkHandle, a: int, b: int) -> None:
        self.ends = (a, b)
        self._wiring = wiring
        self._link = link

    @property
    def conditions(self) -> Conditions:
        return self._link.conditions

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        self._link.set(latency=latency, jitter=jitter, rate=rate)
        self._wiring.note(self)

    def cut(self) -> None:
        self._wiring.change(self, True)

    def restore(self) -> None:
        self._wiring.change(self, False)
