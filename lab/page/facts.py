"""What can be read from a recording: the questions that exercises ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lab.interface import LabBlock
from lab.measures import main_chain
from lab.recording import Event


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """A node left some blocks of its chain for others. Hashes, in order of height."""

    t: float
    node: int
    detached: tuple[str, ...]
    attached: tuple[str, ...]


class Facts:
    """The facts of a recording, complete or not."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.blocks: dict[str, LabBlock] = {}  # those that some node has: not what was only refused
        heard = {event.fields["hash"] for event in events if event.kind == "heard"}
        refused = {event.fields["hash"] for event in events if event.kind == "invalid"} - heard
        for event in events:
            if event.kind == "block" and event.fields["hash"] not in refused:
                self.blocks[event.fields["hash"]] = _block(event)

    @property
    def payments(self) -> dict[str, dict[str, Any]]:
        """The fields of each payment, by its id."""
        return {event.fields["id"]: event.fields for event in self.events if event.kind == "payment"}

    def reorganisations(self) -> Iterator[Reorganisation]:
        for event in self.events:
            if event.kind == "tip" and event.fields["detached"]:
                fields = event.fields
                yield Reorganisation(event.t, fields["node"], tuple(fields["detached"]), tuple(fields["attached"]))

    def main(self) -> list[LabBlock]:
        """The best chain of all, genesis first."""
        return main_chain(list(self.blocks.values()))

    def forked_while_parted(self) -> bool:
        """Whether two nodes had tips on different branches while the network was parted."""
        parted = False
        tips: dict[int, str] = {}
        for event in self.events:
            if event.kind == "groups":
                parted = len(event.fields["groups"]) > 1
            elif event.kind == "tip":
                tips[event.fields["node"]] = event.fields["hash"]
                if parted and self._diverged(set(tips.values())):
                    return True
        return False

    def undone(self, depth: int = 1) -> dict[str, Reorganisation]:
        """The payments that had so many confirmations at a node and were then detached there."""
        found: dict[str, Reorganisation] = {}
        payments = self.payments
        for each in self.reorganisations():
            top = self.blocks[each.detached[-1]].height
            for hash in each.detached:
                block = self.blocks[hash]
                if top - block.height + 1 >= depth:
                    found.update({id: each for id in block.transactions if id in payments})
        return found

    def contested(self) -> list[tuple[int, int]]:
        """For each reorganisation, how many blocks it detached and how many it attached."""
        return [(len(each.detached), len(each.attached)) for each in self.reorganisations()]

    def withheld(self) -> set[str]:
        """The hashes of the blocks that their finder kept to itself at first."""
        return {event.fields["hash"] for event in self.events if event.kind == "withheld"}

    def _diverged(self, tips: set[str]) -> bool:
        """Whether no tip is above all others."""
        best = max((self.blocks[tip] for tip in tips), key=lambda block: block.height)
        below = {best.hash}
        while best.parent in self.blocks:
            best = self.blocks[best.parent]
            below.add(best.hash)
        return not tips <= below


def _block(event: Event) -> LabBlock:
    fields = event.fields
    return LabBlock(
        fields["hash"], fields["parent"], fields["height"], int(fields["chainwork"]), fields["finder"], event.t,
        fields["timestamp"], tuple(fields["transactions"]),
    )  # fmt: skip
