"""Signatures that are checked in another process, ahead of the replay that asks for them.

Checking signatures takes most of the time of a replay, and a replay uses one core. So blocks are read some way ahead,
and their signatures are sent to a helper process (checking.py), which says which are good. A block is never called
valid before the answers for all of its signatures have come. The helper decides nothing alone: what it did not call
good is checked again here, and so is everything if there is no second core, and once it has ended.

Both work at the same time. A signature takes about as long as the rules of an empty block, so the helper may be the
slower one. It has a few batches at a time, and the others wait here. A batch that is needed before it was sent is
checked here, and so is the oldest of them instead of waiting for an answer. Thus neither waits for the other for long,
nor does anything wait while the helper starts. Batches are checked here at once, not when their blocks are judged:
libsodium's tables and the rules evict each other from the processor's caches, which costs microseconds a signature.
"""

import contextlib
import fcntl
import marshal
import os
import select
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import IO, Any, Final, Self

from services.audit import checking
from services.audit.checking import BAD, GOOD, LENGTH_BYTES, READY
from services.system.programs import module_command, scrubbed
from shared.block import Block, Header
from shared.errors import NodeError
from shared.rules import Rules
from shared.signatures import Answer, Name, Question, answer_to, questions_of
from shared.transaction import Transaction

# Signatures from which a helper is started. Its start takes as long as some 200 of them.
WORTH: Final = 100
# A batch is full with so many blocks or bytes of blocks, and so many batches are read ahead.
_BATCH_BLOCKS: Final = 64
_BATCH_BYTES: Final = 2**16
_BATCHES: Final = 3
# Batches that the helper has at a time. It works on one, and the others last it until it is given the next one.
_SENT: Final = 2
# Bytes in the pipe to the helper, so that these batches can be left there while it works (Linux).
_PIPE_BYTES: Final = 2**19
# Bytes of answers that are not taken when another batch is sent: they fit into any system's pipe, so that two processes
# never wait for each other to read.
_OWED: Final = 2**13
# Bytes of answers that are read at once, and of the longest answer to one question.
_READ_BYTES: Final = 2**16
_WORD_BYTES: Final = 64
# Seconds after which a helper that says nothing is taken for lost.
_PATIENCE: Final = 20.0
_MEANINGS: Final[dict[bytes, Answer]] = {GOOD: True, BAD: False}


class _Batch:
    """Signatures of some blocks, without answers."""

    def __init__(self, names: list[Name], questions: list[Question]) -> None:
        self.names, self.questions = names, questions
        # Bytes that the answers have at most.
        self.owed = sum([_WORD_BYTES if isinstance(question, str) else 2 for question in questions])


class Ahead:
    """The `Signatures` of one replay, with a helper process from the moment on when it is worth it.

    Used as a context: the helper ends with it.
    """

    def __init__(self, worth: int = WORTH) -> None:
        """`worth`: signatures from which a helper is started."""
        self._left = worth if _cores() > 1 else None  # signatures before a helper is started; None: none, ever again
        self._helper: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._waiting: deque[_Batch] = deque()  # here, oldest first
        self._sent: deque[_Batch] = deque()  # to the helper, which has not answered
        self._partial = b""  # an answer whose end has not come
        self._answers: dict[Name, Answer] = {}  # until the rules ask for them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    @property
    def has_helper(self) -> bool:
        """Whether a helper checks signatures now."""
        return self._is_ready

    def start(self) -> None:
        """Start the helper now, and wait until it is ready, or has failed."""
        self._begin()
        self._read(_PATIENCE)

    def announce(self, blocks: Sequence[Block]) -> None:
        """Have the signatures of blocks checked that will be asked for soon."""
        names, questions = questions_of(blocks)
        if not names:
            return
        self._waiting.append(_Batch(names, questions))
        if self._left is not None:
            self._left -= len(names)
            if self._left <= 0:
                self._begin()
        self._exchange()

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
        while name not in self._answers and (self._waiting or self._sent):
            self._exchange()
            if name in self._answers:
                break
            if self._waiting:
                self._check(self._waiting.popleft())
            elif self._sent:
                self._read(_PATIENCE)
        return self._answers.pop(name, False)

    def _check(self, batch: _Batch) -> None:
        self._learn(batch, [answer_to(question) for question in batch.questions])

    def _learn(self, batch: _Batch, answers: Sequence[Answer]) -> None:
        self._answers.update(zip(batch.names, answers, strict=True))

    def _exchange(self) -> None:
        """Take the answers that have come, and give the helper what it can have."""
        self._read(0)
        while self._is_ready and self._waiting and len(self._sent) < _SENT and self._owed <= _OWED:
            batch = self._waiting.popleft()
            self._sent.append(batch)
            data = marshal.dumps(batch.questions)
            try:
                stdin = _pipe(self._helper.stdin if self._helper else None)
                stdin.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)
                stdin.flush()
            except OSError:
                self._stop()

    @property
    def _owed(self) -> int:
        """Bytes of all answers that have not come, at most."""
        return sum(batch.owed for batch in self._sent)

    def _read(self, seconds: float) -> None:
        """Take what the helper says. If it says nothing for some seconds (0: for now), has ended, or says what is no
        answer, it is done without.
        """
        if self._helper is None or (self._is_ready and not self._sent):
            return
        stdout = _pipe(self._helper.stdout)
        try:
            if not select.select([stdout], [], [], seconds)[0]:
                if seconds:
                    raise TimeoutError
                return
            data = os.read(stdout.fileno(), _READ_BYTES)
            if not data:
                raise EOFError
            *lines, self._partial = (self._partial + data).split(b"\n")
            for line in lines:
                if not self._is_ready and line + b"\n" == READY:
                    self._is_ready = True
                else:
                    self._learn(self._sent.popleft(), [_meaning(word) for word in line.split(b" ")])
            if len(self._partial) > self._owed:
                raise ValueError
        except (OSError, EOFError, ValueError, IndexError):
            self._stop()

    def _begin(self) -> None:
        """Start the helper, unless that was done or fails."""
        if self._helper is not None:
            return
        pipe = subprocess.PIPE
        try:
            self._helper = subprocess.Popen(
                module_command(checking.__name__),
                stdin=pipe,
                stdout=pipe,
                env=scrubbed(os.environ),
                process_group=0,  # Ctrl-C is for the command, which then ends this
            )
        except OSError:
            self._stop()
            return
        with contextlib.suppress(OSError, AttributeError):  # a system that has no such call, or a lower limit
            fcntl.fcntl(_pipe(self._helper.stdin), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _stop(self) -> None:
        """End the helper, and check everything here."""
        self._left = None
        self._is_ready = False
        self._waiting.clear()
        self._sent.clear()
        self._answers.clear()
        self._partial = b""
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


def _meaning(word: bytes) -> Answer:
    found = _MEANINGS.get(word)
    return word.decode() if found is None else found


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "the helper has both pipes"
    return pipe
