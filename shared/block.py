"""Blocks and headers: what is chained, and what of it is hashed."""

from dataclasses import dataclass
from typing import Any

from shared.canonical import canonical
from shared.proof import MAX_PROOF, accepts
from shared.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Header:
    """A block without its transactions. The six fields of the standard rules, and the hash that they give."""

    index: int  # the height; genesis is 1
    timestamp: int | float  # Unix seconds; whole under the standard rules
    previous_hash: str | int  # 64 hex digits; the tutorial's genesis has the number 1
    difficulty: int  # expected number of hashes
    transactions_root: str  # RFC 6962 root, hex; empty under the tutorial's rules
    proof: int
    hash: str  # hex

    def to_object(self) -> dict[str, Any]:
        """The JSON object of the header, as it is hashed with its proof."""
        return {
            "index": self.index,
            "timestamp": self.timestamp,
            "previous_hash": self.previous_hash,
            "difficulty": self.difficulty,
            "transactions_root": self.transactions_root,
            "proof": self.proof,
        }


@dataclass(frozen=True, slots=True)
class Block:
    """A header, the transactions that its root commits to, and the block's canonical bytes (as `/chain` serves it)."""

    header: Header
    transactions: tuple[Transaction, ...]
    canonical: bytes

    @property
    def hash(self) -> str:
        return self.header.hash

    @property
    def index(self) -> int:
        return self.header.index

    @property
    def size(self) -> int:
        """Bytes of the canonical block: what `max_block_bytes` bounds."""
        return len(self.canonical)


@dataclass(frozen=True, slots=True)
class Template:
    """A block that lacks only its proof."""

    fields: dict[str, Any]  # the block's JSON object without `proof`
    seal: bytes  # what proofs are appended to; 64 bytes under the standard rules, exactly one SHA-256 input block
    difficulty: int  # expected number of hashes

    @property
    def index(self) -> int:
        return int(self.fields["index"])

    @property
    def previous_hash(self) -> str:
        return str(self.fields["previous_hash"])

    def accepts(self, proof: int) -> bool:
        """Whether `proof` completes the block."""
        return accepts(self.seal, self.difficulty, proof)

    def with_proof(self, proof: int) -> dict[str, Any]:
        """The JSON object of the whole block."""
        return {**self.fields, "proof": proof}

    def size(self) -> int:
        """Bytes of the canonical block, with the longest proof there can be."""
        return len(canonical(self.with_proof(MAX_PROOF)))
