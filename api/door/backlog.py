"""What has happened, as steps that every subscriber is told in this order.

The steps are kept once for all. A subscriber holds only its place among them, so a thousand slow readers cost no more
memory than one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from api.door.limits import BACKLOG_BYTES, BACKLOG_STEPS
from shared.erc20 import Log

# A block was attached; a block was detached; transactions came into the mempool.
StepKind = Literal["attached", "detached", "pending"]


@dataclass(slots=True)
class Step:
    """One thing that happened, rendered once for all subscribers."""

    kind: StepKind
    head: bytes = b""  # JSON of the attached block's header
    # Of the block: each event with its JSON, in the order in which they are told. None: nobody wanted events.
    logs: Sequence[tuple[Log, bytes]] | None = None
    hashes: Sequence[bytes] = ()  # JSON of each transaction's hash
    whole: Sequence[bytes] | None = None  # JSON of each transaction. None: nobody wanted them
    messages: dict[Any, Any] = field(default_factory=dict)  # what it is for a subscription (notices.py), once made

    @property
    def size(self) -> int:
        """Bytes of what is rendered."""
        events = sum(len(text) for _, text in self.logs or ())
        return len(self.head) + events + sum(map(len, self.hashes)) + sum(map(len, self.whole or ()))


class Backlog:
    """The last steps, each with a number. Used by the event loop only."""

    def __init__(self, steps: int = BACKLOG_STEPS, size: int = BACKLOG_BYTES) -> None:
        self._most, self._room = steps, size
        self._steps: deque[tuple[Step, int]] = deque()
        self._size = 0
        self.first = 0  # the number of the oldest step that is kept
        self.end = 0  # the number that the next step will have

    def add(self, steps: Sequence[Step]) -> None:
        """Add steps, and drop the oldest ones that are too many, but none of the new ones."""
        start = self.end
        for step in steps:
            size = step.size
            self._steps.append((step, size))
            self._size += size
            self.end += 1
        while self.first < start and (len(self._steps) > self._most or self._size > self._room):
            self._size -= self._steps.popleft()[1]
            self.first += 1

    def __getitem__(self, number: int) -> Step:
        """The step with a number from `first` to `end` - 1."""
        return self._steps[number - self.first][0]
