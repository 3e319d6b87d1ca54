"""Signatures that are checked in another process, ahead of the replay that asks for them.

Checking signatures takes most of the time of a replay, and a replay uses one core. So blocks are read some way ahead,
their signatures are sent to a helper process, and its answers are waited for where the rules ask. A block is never
called valid before the answers for all of its signatures have come. The helper decides nothing alone: what it did not
call good is checked again here, and so is everything if there is no second core, or no helper any more.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, Any, Final, Self

from services.system.programs import module_command, scrubbed
from shared import keys
from shared.block import Block
from shared.errors import NodeError
from shared.ethereum import decode_raw
from shared.rules import Rules
from shared.signatures import Raw, Signed, signatures_of

# Signatures from which a helper is worth its start, which takes about as long as they do.
WORTH: Final = 2_000
# A batch is full with so many blocks or bytes of blocks, and so many batches are read ahead.
_BATCH_BLOCKS: Final = 64
_BATCH_BYTES: Final = 2**18
_BATCHES: Final = 3
# Bytes of answers that are not taken when another batch is sent: they fit into any system's pipe, so that two processes
# never wait for each other to read.
_OWED: Final = 2**13


class Ahead:
    """The `Signatures` of one replay, with a helper process from the moment on when it is worth it.

    Used as a context: the helper ends with it.
    """

    def __init__(self, worth: int = WORTH) -> None:
        """`worth`: signatures that are checked here before a helper is started."""
        self._left = worth if _cores() > 1 else None  # None: no helper, ever again
        self._helper: subprocess.Popen[bytes] | None = None
        self._sent: deque[list[Signed | Raw]] = deque()  # batches without an answer
        self._awaited: set[Signed | Raw] = set()  # all of their signatures
        self._owed = 0  # bytes of their answers, at most
        self._good: set[Signed] = set()
        self._senders: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def has_helper(self) -> bool:
        """Whether a helper checks signatures now."""
        return self._helper is not None

    def start(self) -> None:
        """Start the helper now. Raises: OSError."""
        if self._helper is None:
            self._helper = subprocess.Popen(
                module_command(__name__), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=scrubbed(os.environ)
            )

    def announce(self, blocks: Iterable[Block]) -> None:
        """Have the signatures of blocks checked that will be asked for soon."""
        if self._left is None:
            return
        items = [item for block in blocks for item in signatures_of(block)]
        self._left -= len(items)
        if self._left > 0 or not items:
            return
        while self._owed > _OWED:
            self._take()
        try:
            if self._left is None:
                return
            self.start()
            assert self._helper is not None, "it has been started"
            pickle.dump(items, _pipe(self._helper.stdin), pickle.HIGHEST_PROTOCOL)
            _pipe(self._helper.stdin).flush()
        except OSError:
            self._stop()
            return
        self._sent.append(items)
        self._awaited.update(items)
        self._owed += _bytes_of_answers(items)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """As `keys.verify`."""
        item = (public_key, message, signature)
        while item not in self._good and item in self._awaited:
            self._take()
        if item in self._good:
            self._good.remove(item)
            return True
        return keys.verify(public_key, message, signature)

    def sender(self, identifier: str) -> str | None:
        """The address that has signed a transaction of the ethereum scheme; None: it has to be recovered."""
        return self._senders.pop(identifier, None)

    def _take(self) -> None:
        """Take the answers for the oldest batch."""
        try:
            answers = pickle.load(_pipe(self._helper.stdout)) if self._helper else []
        except (OSError, EOFError, pickle.UnpicklingError):
            self._stop()
            return
        items = self._sent.popleft()
        self._awaited.difference_update(items)
        self._owed -= _bytes_of_answers(items)
        self._good.update(item for item, answer in zip(items, answers, strict=True) if answer and len(item) == 3)
        self._senders.update(
            (item[0], answer) for item, answer in zip(items, answers, strict=True) if answer and len(item) == 2
        )

    def _stop(self) -> None:
        """End the helper, and check everything here."""
        self._left = None
        self._sent.clear()
        self._awaited.clear()
        self._owed = 0
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.wait()
            for pipe in (helper.stdin, helper.stdout):
                with contextlib.suppress(OSError):  # what it did not take
                    _pipe(pipe).close()


def read_ahead(values: Iterable[tuple[Any, int]], rules: Rules, ahead: Ahead) -> Iterator[tuple[Any, int]]:
    """Blocks as `Replay.add` takes them, whose signatures are being checked already.

    Args:
        values: JSON objects of blocks from genesis on, each with something that is passed on.
        rules: of the replay, with `ahead` for their signatures.

    Returns:
        the same pairs in the same order. What cannot be read as a block stays as it is; the replay will say why.
    """
    if not rules.has_accounts:  # the tutorial's blocks have no signatures
        yield from values
        return
    waiting: deque[list[tuple[Any, int]]] = deque()
    batch: list[tuple[Any, int]] = []
    size = 0
    for number, (value, about) in enumerate(values):
        block = _read(value, rules) if number else value  # the genesis block is compared as it is
        batch.append((block, about))
        size += block.size if isinstance(block, Block) else 0
        if len(batch) >= _BATCH_BLOCKS or size >= _BATCH_BYTES:
            ahead.announce(block for block, _ in batch if isinstance(block, Block))
            waiting.append(batch)
            batch, size = [], 0
        if len(waiting) >= _BATCHES:
            yield from waiting.popleft()
    ahead.announce(block for block, _ in batch if isinstance(block, Block))
    for left in (*waiting, batch):
        yield from left


def _read(value: Any, rules: Rules) -> Any:
    try:
        return rules.read_block(value)
    except NodeError:
        return value


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "the helper has both pipes"
    return pipe


def _bytes_of_answers(items: Iterable[Signed | Raw]) -> int:
    return sum(64 if len(item) == 2 else 1 for item in items)


def _answer(item: Signed | Raw) -> bool | str:
    if len(item) == 3:
        return keys.verify(*item)
    try:
        return decode_raw(item[1]).sender
    except NodeError:
        return False


def main() -> None:
    """The helper: answers batches until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then ends this
    while True:
        try:
            items = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):
            return
        pickle.dump([_answer(item) for item in items], sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
