"""Proof of work: the number that makes the hash of a seal and itself small enough."""

from shared.hashing import sha256
from shared.wire import MAX_INTEGER

# Lua counts in doubles as well.
MAX_PROOF = MAX_INTEGER


def proof_hash(seal: bytes, proof: int) -> bytes:
    """SHA-256 of the seal and the decimal proof."""
    return sha256(seal + str(proof).encode())


def meets(digest: bytes, difficulty: int) -> bool:
    """Whether a hash is as rare as `difficulty` (expected hashes) asks: int(hash) * difficulty < 2^256."""
    return int.from_bytes(digest, "big") * difficulty < 1 << 256


def accepts(seal: bytes, difficulty: int, proof: int) -> bool:
    """Whether `proof` is valid for the seal: whether their hash meets `difficulty`."""
    return meets(proof_hash(seal, proof), difficulty)
