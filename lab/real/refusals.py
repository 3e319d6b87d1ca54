"""What the nodes of a real lab refused: blocks that break a rule, and peers that were seen to lie."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from lab.blocktree import BlockTree, rule_of
from lab.interface import LabBlock, LabError

_SECONDS = 1.0  # between two looks


class Asked(Protocol):
    """A node, as far as it is asked here."""

    number: int

    def ask(self, path: str) -> Any:
        """What the node's API answers. Raises `LabError`: it does not."""


class Refusals:
    """One thread that looks at all nodes until `stop`, and writes what it finds to the recording.

    A node keeps a refused block as evidence if work was done for it (`GET /tips`). For a header without work it only
    notes that the peer lies (`GET /nodes`); of the lab's own liars it is known what they showed.

    Args:
        nodes: those that run now.
        finder_of: the number of the node that a reward goes to; None: a stranger's.
    """

    def __init__(
        self, nodes: Callable[[], Sequence[Asked]], tree: BlockTree, finder_of: Callable[[str], int | None]
    ) -> None:
        self._nodes = nodes
        self._tree = tree
        self._finder_of = finder_of
        self._liars: dict[str, LabBlock] = {}
        self._seen: set[tuple[int, str]] = set()  # node, hash
        self._looks = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refusals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look a last time, and end."""
        self._stopped.set()
        self._thread.join()
        self.look()

    def liar(self, url: str, block: LabBlock) -> None:
        """A peer shows a branch that begins with this block, which nobody worked for."""
        with self._looks:
            self._liars[url] = block

    def look(self) -> None:
        """Take in what the nodes have refused so far."""
        with self._looks:
            for node in self._nodes():
                with contextlib.suppress(LabError):  # it ends just now
                    self._tips(node)
                    self._lies(node)

    def _run(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self.look()

    def _tips(self, node: Asked) -> None:
        for tip in node.ask("/tips")["tips"]:
            if tip["state"] == "invalid" and (node.number, tip["hash"]) not in self._seen:
                self._note(node, self._block(node.ask(f"/tips/{tip['hash']}")), str(tip["rule"]))

    def _lies(self, node: Asked) -> None:
        if not self._liars:
            return
        for peer in node.ask("/nodes")["nodes"]:
            block = self._liars.get(str(peer["url"]))
            if block is not None and peer["state"] == "lying" and (node.number, block.hash) not in self._seen:
                self._note(node, block, rule_of(str(peer["reason"])))

    def _note(self, node: Asked, block: LabBlock, rule: str) -> None:
        self._seen.add((node.number, block.hash))
        self._tree.refused(node.number, block, rule)

    def _block(self, found: dict[str, Any]) -> LabBlock:
        """A refused block from the evidence about it."""
        header = found["header"]
        rewarded = [each for each in (found["block"] or {}).get("transactions", ()) if each.get("type") == "reward"]
        return LabBlock(
            hash=str(found["hash"]),
            parent=str(header["previous_hash"]),
            height=int(found["height"]),
            chainwork=int(found["chainwork"]),
            finder=self._finder_of(str(rewarded[0]["recipient"])) if rewarded else None,
            found_at=0.0,
            timestamp=float(header["timestamp"]),
        )
