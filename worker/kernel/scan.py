"""The fast kernel: ranges of proofs cut by their number of digits, candidates confirmed with hashlib.

Importing it imports Numba; `FastKernel.warm_up` compiles.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from shared.errors import NodeError
from worker.kernel.plain import PlainKernel, check_range, largest_hash
from worker.kernel.sha256 import CHUNK, LOW, LOW_DIGITS, OPTIONS, first_chunk

BLOCK_BYTES: Final = 64
PADDING_BYTES: Final = 9  # at least: the bit after the message, and its length
DIGIT_WORDS: Final = 14  # the block's last two words hold the length
LOW_TABLE: Final = np.array([int.from_bytes(b"%04d" % low, "big") for low in range(LOW)], np.uint32)

PLAIN: Final = PlainKernel()
# Seconds to wait for another process that compiles: below the time that a node has to start.
_PATIENCE: Final = 45.0
_POLL: Final = 0.05
_SOURCE: Final = Path(first_chunk.__code__.co_filename)

FirstChunk: TypeAlias = Callable[..., int]  # `sha256.first_chunk`, compiled


class KernelUnusable(NodeError):
    """The fast kernel gives wrong results on this machine, or cannot be compiled. Use the plain one, and report it."""


class FastKernel:
    """Scans with vector instructions compiled by Numba. See `worker.kernel.Kernel`."""

    name = "fast"

    def __init__(self) -> None:
        self.note = "not compiled yet"
        self._compiled: FirstChunk | None = None

    def warm_up(self) -> None:
        """Compile, or load from Numba's cache, and check against hashlib. The first call takes seconds.

        Without a usable cache (no writable directory, no space, a damaged or outdated file) it compiles in memory,
        and `note` says why. Call it before forking and before an alarm is set: children inherit the code.

        Raises:
            KernelUnusable: the compiled code is wrong, or compiling is switched off.
        """
        if self._compiled is not None:
            return
        try:
            with _one_at_a_time():
                self._compiled = _compile(cache=True)
            self.note = f"Numba {numba.__version__}"
        except Exception as error:  # the cache or the code in it may be unusable: try without it
            self._compiled = _compile(cache=False)
            self.note = f"Numba {numba.__version__}, compiled in memory because the cache failed: {error}"

    def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
        """The smallest valid proof in [start, stop), or None. Raises ValueError as `Kernel.scan` does.

        The interpreter's lock is released during the scan, but signals wait until the native code returns.
        """
        self.warm_up()
        assert self._compiled is not None
        return _scan(self._compiled, prefix, difficulty, start, stop)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Wait while another process on this machine compiles: its result can then be loaded.

    All workers of a node start at once, and compiling takes seconds of processor time. If the code is in the cache
    already, nobody waits. After _PATIENCE, or where files cannot be locked, everybody compiles.
    """
    if _is_cached():
        yield
        return
    with _SOURCE.open("rb") as file:  # closing it unlocks it, and so does the end of the process
        deadline = time.monotonic() + _PATIENCE
        while not _locked(file) and not _is_cached() and time.monotonic() < deadline:
            time.sleep(_POLL)
        yield


def _locked(file: Any) -> bool:
    """Whether the file is ours now, or cannot be locked at all."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_cached() -> bool:
    """Whether Numba's cache has code that is newer than its source. It may still be of another machine."""
    function: Any = numba.njit(cache=True, **OPTIONS)(first_chunk)
    directory = function.stats.cache_path
    newer = _SOURCE.stat().st_mtime
    return any(file.stat().st_mtime > newer for file in Path(directory).glob(f"{_SOURCE.stem}.*.nbc"))


def _compile(cache: bool) -> FirstChunk:
    """Compile `first_chunk` and compare it with hashlib. Raises KernelUnusable, and whatever Numba raises."""
    compiled: FirstChunk = numba.njit(cache=cache, **OPTIONS)(first_chunk)
    if compiled is first_chunk:  # interpreted, the check alone would take minutes
        raise KernelUnusable("NUMBA_DISABLE_JIT is set")
    seal = sha256(b"quarry").hexdigest().encode()
    # A seal, tutorial rules, and a prefix of more than a block; each place that the digits can have in a word.
    for prefix in (seal, b"100", seal + b"1"):
        for digits in range(LOW_DIGITS, LOW_DIGITS + 6):
            start = 10**digits - CHUNK - 1  # odd, and across a change of length
            stop = start + 3 * CHUNK
            fast = partial(_scan, compiled)
            if _valid_proofs(fast, prefix, start, stop) != _valid_proofs(PLAIN.scan, prefix, start, stop):
                raise KernelUnusable("compiled code does not agree with hashlib")
    return compiled


def _valid_proofs(
    scan: Callable[[bytes, int, int, int], int | None], prefix: bytes, start: int, stop: int
) -> list[int]:
    """All valid proofs of the range at a difficulty that gives about one a chunk."""
    proofs = []
    while (proof := scan(prefix, CHUNK, start, stop)) is not None:
        proofs.append(proof)
        start = proof + 1
    return proofs


def _scan(compiled: FirstChunk, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
    check_range(start, stop)
    first_word = np.uint32(largest_hash(difficulty) >> 224)
    while start < stop:
        digits = max(LOW_DIGITS - 1, len(str(start)))  # all shorter lengths at once: the plain kernel scans them
        end = min(stop, 10**digits)
        if digits >= LOW_DIGITS and _fits(prefix, digits):
            proof = _scan_length(compiled, prefix, digits, difficulty, first_word, start, end)
        else:
            proof = PLAIN.scan(prefix, difficulty, start, end)
        if proof is not None:
            return proof
        start = end
    return None


def _scan_length(
    compiled: FirstChunk, prefix: bytes, digits: int, difficulty: int, first_word: np.uint32, start: int, stop: int
) -> int | None:
    """Scan proofs that all have `digits` digits."""
    message = _message(prefix, digits)
    masks = _masks(len(prefix), digits)
    while True:
        start = compiled(message, len(prefix), digits, masks, LOW_TABLE, first_word, start, stop)
        if start == stop:
            return None
        # The first word of a hash only names candidates: the rule itself decides, on every proof of the chunk.
        end = min(stop, start - start % CHUNK + CHUNK)
        proof = PLAIN.scan(prefix, difficulty, start, end)
        if proof is not None:
            return proof
        start = end


def _fits(prefix: bytes, digits: int) -> bool:
    """Whether the digits and the padding lie in one block. If not, the plain kernel scans."""
    return len(prefix) % BLOCK_BYTES + digits + PADDING_BYTES <= BLOCK_BYTES


def _message(prefix: bytes, digits: int) -> NDArray[np.uint8]:
    """The blocks that SHA-256 hashes, as writable bytes: prefix, zeros in place of the digits, padding."""
    length = len(prefix) + digits
    blocks = len(prefix) // BLOCK_BYTES + 1
    padded = bytearray(blocks * BLOCK_BYTES)
    padded[: len(prefix)] = prefix
    padded[length] = 0x80
    padded[-8:] = (8 * length).to_bytes(8, "big")
    return np.frombuffer(padded, np.uint8)


def _masks(prefix_length: int, digits: int) -> NDArray[np.uint32]:
    """Which words of the last block take the low digits. Shape (2, DIGIT_WORDS): see `sha256._with_low_digits`."""
    word = (prefix_length % BLOCK_BYTES + digits - LOW_DIGITS) // 4
    masks = np.zeros((2, DIGIT_WORDS), np.uint32)
    masks[0, word] = 0xFFFFFFFF
    if word + 1 < DIGIT_WORDS:  # otherwise the digits end with the last word before the length
        masks[1, word + 1] = 0xFFFFFFFF
    return masks
