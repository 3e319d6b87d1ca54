"""The reference kernel: hashlib and nothing else. Every node has it, and the fast kernel is checked against it."""

from hashlib import sha256
from typing import Final

PROOF_LIMIT: Final = 2**53  # proofs are below it: exact in JavaScript too
_LOW = 1000
_LOW_DIGITS: Final = tuple(b"%03d" % low for low in range(_LOW))


def largest_hash(difficulty: int) -> int:
    """The largest hash, as an integer, that is valid at `difficulty`: hash * difficulty < 2^256.

    Raises:
        ValueError: the difficulty is below 1.
    """
    if difficulty < 1:
        raise ValueError("a difficulty is at least 1")
    return (2**256 - 1) // difficulty


def check_range(start: int, stop: int) -> None:
    """Raise ValueError unless [start, stop) lies within the proofs that a block may have; it may be empty."""
    if start < 0 or stop > PROOF_LIMIT:
        raise ValueError("a range of proofs lies within 0 and 2^53")


class PlainKernel:
    """Scans with hashlib, one proof at a time, from the state after the prefix. See `worker.kernel.Kernel`."""

    name = "plain"

    def __init__(self, note: str = "chosen by setting") -> None:
        self.note = note

    def warm_up(self) -> None:
        """Do nothing: there is nothing to compile."""

    def scan(self, prefix: bytes, difficulty: int, start: int, stop: int) -> int | None:
        """The smallest valid proof in [start, stop), or None. Raises ValueError as `Kernel.scan` does."""
        check_range(start, stop)
        # Digests of one length compare as the integers they spell.
        largest = largest_hash(difficulty).to_bytes(32, "big")
        after_prefix = sha256(prefix)
        proof = start
        while proof < stop:
            high, low = divmod(proof, _LOW)
            end = min(_LOW, low + stop - proof)
            after_high = after_prefix.copy()
            if high:
                after_high.update(b"%d" % high)
                endings = _LOW_DIGITS[low:end]
            else:  # the decimal form has no leading zeros
                endings = tuple(b"%d" % number for number in range(low, end))
            copy = after_high.copy  # bound once: this loop is all that the kernel does
            for found, ending in enumerate(endings, proof):
                state = copy()
                state.update(ending)
                if state.digest() <= largest:
                    return found
            proof += end - low
        return None
