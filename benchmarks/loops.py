"""What the fast kernel is compared with: the tutorial's search, and the best that hashlib can do.

Rates are per second in which the loop had a core: time that other programs took is subtracted.
"""

import os
import random
import time
from collections.abc import Callable
from hashlib import sha256

from benchmarks.node import waited
from worker.kernel.plain import PlainKernel

ZEROS = "0000"


def tutorial_search(last_proof: int) -> int:
    """The tutorial's proof of work: format, encode, hash, and compare four hex digits, one proof after the other.

    Returns:
        The first proof whose hash with `last_proof` begins with four zeros. About 65,536 hashes.
    """
    proof = 0
    while not _tutorial_valid(last_proof, proof):
        proof += 1
    return proof


def _tutorial_valid(last_proof: int, proof: int) -> bool:
    guess = f"{last_proof}{proof}".encode()
    return sha256(guess).hexdigest()[:4] == ZEROS


def tutorial_rate(seconds: float) -> float:
    """Hashes per second of the tutorial's loop on this core."""
    return _rate(lambda: tutorial_search(random.randrange(10**6)) + 1, seconds)


def midstate_rate(seconds: float) -> float:
    """Hashes per second of hashlib on this core, continuing from the state after the seal: the plain kernel."""
    kernel, part = PlainKernel(), 50_000

    def scan() -> int:
        kernel.scan(b"5" * 64, 1 << 250, 10**9, 10**9 + part)
        return part

    return _rate(scan, seconds)


def _rate(search: Callable[[], int], seconds: float) -> float:
    hashes, started, waited_before = 0, time.perf_counter(), waited(os.getpid())
    while (spent := time.perf_counter() - started) < seconds:
        hashes += search()
    return hashes / (spent - (waited(os.getpid()) - waited_before))
