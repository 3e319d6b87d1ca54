"""Which of the tutorial's programs made a block. They look alike, and not all of them agree.

The program of 2017, and those that follow the text of that time, search for a number that makes the hash of the last
proof and itself rare. Later ones, such as dvf/blockchain as it is now, put the hash of the last block into that text
too, and begin their chain with the text "1" where the first one has the number 1. To the others each such block has a
wrong proof.
"""

from typing import Any

from shared.hashing import sha256
from shared.proof import meets

LATER = (
    "The peer runs a later program of the tutorial's, which hashes the last block into the proof; those of this "
    "network hash the two proofs alone, as the program of 2017 does."
)


def begins_as_later_ones(genesis: Any) -> bool:
    """Whether the JSON object of a first block is what later programs begin with."""
    if not isinstance(genesis, dict):
        return False
    return genesis.get("index") == 1 and genesis.get("previous_hash") == "1" and genesis.get("proof") == 100


def proves_as_later_ones(last_proof: int, proof: int, last_hash: str, difficulty: int) -> bool:
    """Whether a proof is good under the rule of a later program: the last block's hash is part of what is hashed.

    Args:
        last_hash: of the last block, as its program writes it: lower-case hex.
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
