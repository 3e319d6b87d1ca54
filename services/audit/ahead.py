"""Signatures that are checked in another process, ahead of the replay that asks for them.

Checking signatures takes most of the time of a replay, and a replay uses one core. So blocks are read some way ahead
and sent to a helper process as they are hashed (checking.py). It finds the signatures in them, and says which are
good. A block is never called valid before the answers for all of its signatures have come. The helper decides nothing
alone: what it did not call good is checked again here, and so is everything while it starts, if there is no second
core, and once it has ended.

Both work at the same time. A signature takes about as long as the rules of an empty block, so the helper may be the
slower one: then a batch is not sent, and its signatures are checked here when its blocks are judged. Thus neither waits
for the other for long.
"""

import contextlib
import fcntl
import os
import pickle
import select
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import IO, Any, Final, Self

from services.audit import checking
from services.audit.checking import READY
from services.system.programs import module_command, scrubbed
from shared.block import Block, Header
from shared.errors import NodeError
from shared.rules import Rules
from shared.signatures import Answer, Name, names_of
from shared.transaction import Transaction

# Signatures from which a helper is started. Its start takes as long as some two thousand of them; meanwhile they are
# checked here.
WORTH: Final = 200
# A batch is full with so many blocks or bytes of blocks, and so many batches are read ahead.
_BATCH_BLOCKS: Final = 64
_BATCH_BYTES: Final = 2**18
_BATCHES: Final = 4
# Batches without an answer from which on the helper is behind. With one it works, and the other one waits for it; a
# batch that is needed next has its answer then.
_BEHIND: Final = 2
# Bytes in the pipe to the helper, so that a whole batch can be left there while the helper works (Linux).
_PIPE_BYTES: Final = 2**19
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
        self._is_ready = False
        # Batches without an answer: names, and the bytes that their answers have at most.
        self._sent: deque[tuple[list[Name], int]] = deque()
        self._owed = 0  # bytes of all these answers, at most
        # What the helper says of each signature that was sent; None while its batch has no answer.
        self._answers: dict[Name, Answer | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def has_helper(self) -> bool:
        """Whether a helper checks signatures now."""
        return self._is_ready

    def start(self) -> None:
        """Start the helper now, and wait until it is ready. Raises: OSError."""
        self._begin()
        self._look(None)

    def announce(self, blocks: Sequence[Block]) -> None:
        """Have the signatures of blocks checked that will be asked for soon."""
        if self._left is None:
            return
        names = [name for block in blocks for name in names_of(block)]
        self._left -= len(names)
        if self._left > 0 or not names:
            return
        try:
            self._begin()
            if not self._is_ready and not self._look(0):
                return  # it takes longer to start than these signatures take here
            self._take_what_has_come()
            if self._helper is None or len(self._sent) >= _BEHIND:
                return
            while self._owed > _OWED:
                self._take()
            if self._helper is None:
                return
            pickle.dump([block.canonical for block in blocks], _pipe(self._helper.stdin), pickle.HIGHEST_PROTOCOL)
            _pipe(self._helper.stdin).flush()
        except OSError:
            self._stop()
            return
        owed = sum(64 if b'"ethereum"' in name else 1 for name in names if isinstance(name, bytes)) + len(blocks)
        self._sent.append((names, owed))
        self._answers.update(dict.fromkeys(names))
        self._owed += owed

    def sealed(self, header: Header) -> bool:
        """As `Signatures.sealed`."""
        return self._answer(header.hash) is True

    def signed(self, transaction: Transaction) -> bool:
        """As `Signatures.signed`."""
        return self._answer(transaction.canonical) is True

    def sender(self, transaction: Transaction) -> str | None:
        """As `Signatures.sender`."""
        found = self._answer(transaction.canonical)
        return found if isinstance(found, str) else None

    def _answer(self, name: Name) -> Answer:
        """What is known of a signature, once: False if nothing is."""
        while self._answers.get(name, False) is None:
            self._take()
        return self._answers.pop(name, None) or False

    def _take_what_has_come(self) -> None:
        """Take the answers that can be taken without waiting for the helper."""
        while self._sent and self._helper is not None and _has_bytes(_pipe(self._helper.stdout)):
            self._take()

    def _take(self) -> None:
        """Take the answers for the oldest batch."""
        names, owed = self._sent.popleft()
        try:
            answers = pickle.load(_pipe(self._helper.stdout)) if self._helper else []
            if not isinstance(answers, list):
                raise ValueError
            answered = {name: answer or False for name, answer in zip(names, answers, strict=True)}
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            self._stop()
            return
        self._owed -= owed
        self._answers.update(answered)

    def _begin(self) -> None:
        """Start the helper, unless that was done. Raises: OSError."""
        if self._helper is None:
            command = module_command(checking.__name__)
            pipe = subprocess.PIPE
            self._helper = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=scrubbed(os.environ))
            with contextlib.suppress(OSError, AttributeError):  # a system that has no such call, or a lower limit
                fcntl.fcntl(_pipe(self._helper.stdin), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _look(self, seconds: float | None) -> bool:
        """Whether the helper is ready, or gets so within some seconds (None: wait). One that has ended is forgotten."""
        stdout = _pipe(self._helper.stdout if self._helper else None)
        if select.select([stdout], [], [], seconds)[0]:
            self._is_ready = stdout.read(len(READY)) == READY
            if not self._is_ready:
                self._stop()
        return self._is_ready

    def _stop(self) -> None:
        """End the helper, and check everything here."""
        self._left = None
        self._is_ready = False
        self._sent.clear()
        self._answers.clear()
        self._owed = 0
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.kill()
            helper.wait()
            for pipe in (helper.stdin, helper.stdout):
                with contextlib.suppress(OSError):  # what it did not take
                    _pipe(pipe).close()


def read_ahead(
    values: Iterable[tuple[Any, int]], rules: Rules, ahead: Ahead, *, has_genesis: bool = True
) -> Iterator[tuple[Any, int]]:
    """Blocks as `Replay.add` takes them, whose signatures are being checked already.

    Args:
        values: JSON objects of blocks, each with something that is passed on.
        rules: of the replay, with `ahead` for their signatures.
        has_genesis: the first is the genesis block.

    Returns:
        the same pairs in the same order. What cannot be read as a block stays as it is; the replay will say why.

    Raises:
        what `values` raises, after the blocks before.
    """
    if not rules.has_accounts:  # the tutorial's blocks have no signatures
        yield from values
        return
    waiting: deque[list[tuple[Any, int]]] = deque()
    batch: list[tuple[Any, int]] = []
    size = 0
    fault: Exception | None = None
    source = iter(values)
    if has_genesis:  # it is compared as it is
        batch += list(islice(source, 1))
    while True:
        try:
            value, about = next(source)
        except StopIteration:
            break
        except Exception as error:  # blocks that were read before it come first
            fault = error
            break
        block = _read(value, rules)
        batch.append((block, about))
        size += block.size if isinstance(block, Block) else 0
        if len(batch) >= _BATCH_BLOCKS or size >= _BATCH_BYTES:
            ahead.announce([block for block, _ in batch if isinstance(block, Block)])
            waiting.append(batch)
            batch, size = [], 0
        if len(waiting) >= _BATCHES:
            yield from waiting.popleft()
    ahead.announce([block for block, _ in batch if isinstance(block, Block)])
    for left in (*waiting, batch):
        yield from left
    if fault is not None:
        raise fault


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


def _has_bytes(pipe: Any) -> bool:
    """Whether something can be read from a pipe, or was read ahead by its buffer."""
    os.set_blocking(pipe.fileno(), False)
    try:
        return bool(pipe.peek())
    finally:
        os.set_blocking(pipe.fileno(), True)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "the helper has both pipes"
    return pipe
