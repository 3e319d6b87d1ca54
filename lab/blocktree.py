"""The blocks of all nodes of a lab, who has them, and each node's tip; every change is written to the recording."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from lab.interface import LabBlock
from lab.recording import Recorder


def rule_of(reason: str) -> str:
    """The code of the broken rule, from what a node says of a peer that lied; `lie` if no rule was broken."""
    code, _, rest = reason.partition(":")
    return code if rest and " " not in code else "lie"


class BlockTree:
    """A tree of blocks. Safe for several threads.

    Args:
        now: seconds since the lab began.
    """

    def __init__(self, recorder: Recorder, now: Callable[[], float]) -> None:
        self._recorder = recorder
        self._now = now
        self._lock = threading.Lock()
        self._blocks: dict[str, LabBlock] = {}
        self._heard: set[tuple[int, str]] = set()
        self._tips: dict[int, str] = {}
        self._followers: dict[int, Callable[[str], None]] = {}
        self._spread, self._spreads = 0.0, 0  # seconds that blocks took to other nodes, and how often
        self._refused: dict[str, set[int]] = {}  # hash -> the nodes that refused the block

    def now(self) -> float:
        """Seconds since the lab began."""
        return self._now()

    def propagation(self) -> float | None:
        """Mean seconds from the finding of a block until another node had it; None: none had."""
        with self._lock:
            return self._spread / self._spreads if self._spreads else None

    def note(self, kind: str, **fields: object) -> None:
        """Write an event that does not change the tree."""
        with self._lock:
            self._recorder.note(self._now(), kind, **fields)

    def follow(self, node: int, told: Callable[[str], None] | None) -> None:
        """Have `told` called with the hash of each new tip of a node; None: nobody any more."""
        with self._lock:
            if told is None:
                self._followers.pop(node, None)
            else:
                self._followers[node] = told

    def blocks(self) -> Sequence[LabBlock]:
        """All blocks, parents first."""
        with self._lock:
            return list(self._blocks.values())

    def block(self, hash: str) -> LabBlock | None:
        with self._lock:
            return self._blocks.get(hash)

    def has_heard(self, node: int, hash: str) -> bool:
        with self._lock:
            return (node, hash) in self._heard

    def tip(self, node: int) -> LabBlock | None:
        """The node's tip as it was last seen; None: it was not seen yet."""
        with self._lock:
            return self._blocks.get(self._tips.get(node, ""))

    def add(self, block: LabBlock) -> None:
        """Add a block whose parent is known, if it is new."""
        with self._lock:
            if block.hash in self._blocks:
                return
            if self._blocks and block.parent not in self._blocks:
                raise ValueError(f"the parent of block {block.hash} is not known")
            self._blocks[block.hash] = block
            if block.hash not in self._refused:
                self._note_block(block)

    def refused(self, node: int, block: LabBlock, rule: str) -> None:
        """Note that the node refused a block, once for each node. The block is in the recording, but not in `blocks`.

        Args:
            rule: the code of the rule that it breaks.
        """
        with self._lock:
            if block.hash not in self._blocks and block.hash not in self._refused and block.parent in self._blocks:
                self._note_block(block)
            nodes = self._refused.setdefault(block.hash, set())
            if node not in nodes:
                nodes.add(node)
                self._recorder.note(self._now(), "invalid", node=node, hash=block.hash, rule=rule)

    def _note_block(self, block: LabBlock) -> None:
        self._recorder.note(
            self._now(), "block", hash=block.hash, parent=block.parent, height=block.height,
            chainwork=str(block.chainwork), finder=block.finder, timestamp=block.timestamp,
            transactions=list(block.transactions),
        )  # fmt: skip

    def heard(self, node: int, hash: str) -> None:
        """Note that the node has stored the block."""
        with self._lock:
            if (node, hash) not in self._heard:
                self._heard.add((node, hash))
                block = self._blocks.get(hash)
                if block is not None and block.finder not in (None, node):
                    self._spread += self._now() - block.found_at
                    self._spreads += 1
                self._recorder.note(self._now(), "heard", node=node, hash=hash)

    def moved(self, node: int, hash: str) -> None:
        """Note the node's new tip, and which blocks left and entered its chain."""
        with self._lock:
            before = self._tips.get(node)
            if before == hash:
                return
            self._tips[node] = hash
            detached, attached = self._difference(before, hash)
            self._recorder.note(self._now(), "tip", node=node, hash=hash, detached=detached, attached=attached)
            told = self._followers.get(node)
        if told is not None:
            told(hash)

    def _difference(self, before: str | None, after: str) -> tuple[list[str], list[str]]:
        """The hashes that are below only the one or only the other tip, in order of height."""
        if before is None:
            return [], []
        old, new = self._blocks[before], self._blocks[after]
        detached: list[str] = []
        attached: list[str] = []
        while old.hash != new.hash:
            if old.height > new.height:
                detached.append(old.hash)
                old = self._blocks[old.parent]
            else:
                attached.append(new.hash)
                new = self._blocks[new.parent]
        return detached[::-1], attached[::-1]
