"""What the fast kernel is compared with: the tutorial's way of searching, and the best that hashlib can do."""

import random
import time
from hashlib import sha256

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
    hashes, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        hashes += tutorial_search(random.randrange(10**6)) + 1
    return hashes / spent


def midstate_rate(seconds: float) -> float:
    """Hashes per second of hashlib on this core, continuing from the state after the seal: the plain kernel."""
    kernel, hashes, proof = PlainKernel(), 0, 10**9
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        kernel.scan(b"5" * 64, 1 << 250, proof, proof + 50_000)
        proof += 50_000
        hashes += 50_000
    return hashes / spent
