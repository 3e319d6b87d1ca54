"""Proof of work: the number that makes a seal's hash small enough."""

from dataclasses import dataclass

from shared.hashing import sha256
from shared.wire import MAX_INTEGER

# Lua counts in doubles as well.
MAX_PROOF = MAX_INTEGER


@dataclass(frozen=True, slots=True)
class Seal:
    """What a search needs to know: the prefix that proofs are appended to, and how rare a valid proof is."""

    prefix: bytes  # standard rules: 64 ASCII bytes, exactly one SHA-256 input block
    difficulty: int  # expected number of hashes

    def hash(self, proof: int) -> bytes:
        """SHA-256 of prefix + decimal proof."""
        return sha256(self.prefix + str(proof).encode())

    def accepts(self, proof: int) -> bool:
        """Whether `proof` is valid: int(hash) * difficulty < 2^256."""
        return meets(self.hash(proof), self.difficulty)


def meets(digest: bytes, difficulty: int) -> bool:
    """Whether a hash is as rare as `difficulty` asks: int(hash) * difficulty < 2^256."""
    return int.from_bytes(digest, "big") * difficulty < 1 << 256
