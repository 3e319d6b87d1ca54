"""The stale blocks of a state file: verified branch by branch, as the blocks that they follow are verified."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.chain.reorganiser import Branch
from services.development.state_file import StaleBlock
from shared.block import Block


class StaleBranches:
    """The stale blocks of a file by their parents, until they are verified."""

    def __init__(self, blocks: Sequence[StaleBlock], read: Callable[[bytes], Block]) -> None:
        self._children: dict[str, list[Block]] = {}
        self.placed: dict[str, float | None] = {}  # hash → when it was staged
        for item in blocks:
            block = read(item.text)
            self._children.setdefault(str(block.header.previous_hash), []).append(block)
            self.placed[block.hash] = item.staged_at

    def __contains__(self, parent: object) -> bool:
        return parent in self._children

    def take(self, parent: str) -> list[Block]:
        """The blocks that follow a block. A second call for the same block returns none."""
        return self._children.pop(parent, [])

    def rest(self) -> int:
        """The height of a block that was not taken; 0: all were."""
        return min((block.index for blocks in self._children.values() for block in blocks), default=0)


def copy_of(branch: Branch) -> Branch:
    """A branch that goes its own way from here."""
    return replace(
        branch,
        detached=list(branch.detached),
        window=deque(branch.window, maxlen=branch.window.maxlen),
        accounts=dict(branch.accounts),
        allowances=dict(branch.allowances),
        attached=list(branch.attached),
    )
