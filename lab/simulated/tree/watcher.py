"""A recording of what happens in a tree."""

from __future__ import annotations

from collections.abc import Sequence

from lab.recording import Recorder
from lab.simulated.tree.blocks import Block, branch, common_ancestor
from lab.simulated.tree.network import Network


class RecordingWatcher:
    """Notes blocks, who has heard of them, and tips."""

    def __init__(self, network: Network, recorder: Recorder) -> None:
        self._network = network
        self._recorder = recorder
        first = network.blocks[0]
        self._known: list[set[Block]] = [{first} for _ in network.nodes]
        self._block(first)
        for node in network.nodes:
            self._note("heard", node=node.index + 1, hash=first.hash)

    def found(self, block: Block) -> None:
        self._block(block)
        assert block.finder is not None
        self.heard(block.finder, block)

    def heard(self, index: int, block: Block) -> None:
        known = self._known[index]
        new = []
        for each in block.ancestors():
            if each in known:
                break
            new.append(each)
        for each in reversed(new):
            known.add(each)
            self._note("heard", node=index + 1, hash=each.hash)

    def moved(self, index: int, old: Block, new: Block) -> None:
        fork = common_ancestor(old, new)
        detached = [block.hash for block in branch(fork, old)]
        attached = [block.hash for block in branch(fork, new)]
        self._note("tip", node=index + 1, hash=new.hash, detached=detached, attached=attached)

    def withheld(self, index: int, block: Block) -> None:
        self._note("withheld", node=index + 1, hash=block.hash)

    def shown(self, index: int, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._note("published", node=index + 1, hash=block.hash)

    def _block(self, block: Block) -> None:
        self._note(
            "block",
            hash=block.hash,
            parent=block.parent.hash if block.parent is not None else self._network.spec.hash,
            height=block.height,
            chainwork=str(block.claim.chainwork),
            finder=block.finder + 1 if block.finder is not None else None,
            timestamp=block.timestamp,
            transactions=list(block.payments),
        )

    def _note(self, kind: str, **fields: object) -> None:
        self._recorder.note(self._network.now, kind, **fields)
