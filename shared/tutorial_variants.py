"""Which of the tutorial's programs made a block. Two variants look alike but refuse each other's blocks.

In the program of 2017, and in those that follow the text of that time, a proof is a number that makes the hash of the
last proof and itself rare. Later programs, such as dvf/blockchain as it is now, hash the last block's hash too, and
the `previous_hash` of their first block is the text "1" instead of the number 1.
"""

from typing import Any

from shared.hashing import sha256
from shared.proof import meets

LATER = (
    "The peer runs a later program of the tutorial, which includes the last block's hash in the proof. This network "
    "hashes the two proofs alone, as the program of 2017 does."
)


def begins_as_later_ones(genesis: Any) -> bool:
    """Whether `genesis`, a JSON value, is the first block of a later program."""
    if not isinstance(genesis, dict):
        return False
    return genesis.get("index") == 1 and genesis.get("previous_hash") == "1" and genesis.get("proof") == 100


def proves_as_later_ones(last_proof: int, proof: int, last_hash: str, difficulty: int) -> bool:
    """Whether a proof is valid in a later program, which hashes the last block's hash as well.

    Args:
        last_hash: of the last block, in lower-case hex as its program writes it.
        difficulty: expected hashes per proof; 65536 is four hex zeros.
    """
    texts = (
        f"{last_proof}{proof}{last_hash}",  # dvf/blockchain
        f"{last_proof}{last_hash}{proof}",
        f"{last_hash}{last_proof}{proof}",
        f"{last_hash}{proof}",
        f"{proof}{last_hash}",
    )
    return any(meets(sha256(text.encode()), difficulty) for text in texts)
