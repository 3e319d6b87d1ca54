"""Blocks, headers and templates."""

from dataclasses import dataclass
from typing import Any

from shared.canonical import canonical
from shared.errors import RuleError
from shared.proof import MAX_PROOF, accepts
from shared.transaction import Transaction

_NO_BODY = b'"transactions": []'


@dataclass(frozen=True, slots=True)
class Header:
    """A block without its transactions: its fields, and the hash. Under the standard rules the fields give the hash."""

    index: int  # the height; genesis is 1
    timestamp: int | float  # Unix seconds; whole under the standard rules
    previous_hash: str | int  # 64 hex digits; the tutorial's genesis has the number 1
    difficulty: int  # expected number of hashes
    transactions_root: str  # RFC 6962 root, hex; empty under the tutorial's rules
    proof: int
    hash: str  # hex
    # Where the spec names sealers, else "": the public key of the one who signed, and the signature; hex.
    sealer: str = ""
    sealer_signature: str = ""

    def check_link(self, parent: "Header") -> None:
        """Check that the header follows `parent`.

        Raises:
            RuleError: `wrong_index` or `wrong_previous_hash`.
        """
        if self.index != parent.index + 1:
            raise RuleError("wrong_index", f"index must be {parent.index + 1}, not {self.index}.", field="index")
        if self.previous_hash != parent.hash:
            raise RuleError(
                "wrong_previous_hash",
                f"previous_hash must be {parent.hash}, not {self.previous_hash}.",
                field="previous_hash",
            )

    def to_object(self) -> dict[str, Any]:
        """The JSON object: six fields, and two more if the header is sealed."""
        fields = {
            "index": self.index,
            "timestamp": self.timestamp,
            "previous_hash": self.previous_hash,
            "difficulty": self.difficulty,
            "transactions_root": self.transactions_root,
            "proof": self.proof,
        }
        if self.sealer:
            fields |= {"sealer": self.sealer, "sealer_signature": self.sealer_signature}
        return fields


@dataclass(frozen=True, slots=True)
class Block:
    """A header, the transactions that it commits to, and the block's canonical bytes, as `/chain` serves them."""

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
        """Bytes of the canonical block, which `max_block_bytes` limits."""
        return len(self.canonical)


@dataclass(frozen=True, slots=True)
class Template:
    """A block without its proof."""

    fields: dict[str, Any]  # the block's JSON object without `proof`
    seal: bytes  # what proofs are appended to; 64 bytes under the standard rules, exactly one SHA-256 input block
    difficulty: int  # expected number of hashes
    # The transactions of `fields`, where this process has made the template of them; None: it was read from a store.
    body: tuple[Transaction, ...] | None = None

    @property
    def height(self) -> int:
        return int(self.fields["index"])

    @property
    def previous_hash(self) -> str:
        return str(self.fields["previous_hash"])

    def accepts(self, proof: int) -> bool:
        """Whether `proof` completes the block."""
        return accepts(self.seal, self.difficulty, proof)

    def text(self, proof: int | None = None) -> bytes:
        """`fields` as canonical JSON; with a proof, the canonical bytes of the whole block."""
        fields = self.fields if proof is None else self.with_proof(proof)
        if self.body is None:
            return canonical(fields)
        # Put together from the bytes of the transactions, which are most of it.
        body = b", ".join([item.canonical for item in self.body])
        return canonical({**fields, "transactions": []}).replace(_NO_BODY, _NO_BODY[:-1] + body + b"]")

    def with_proof(self, proof: int) -> dict[str, Any]:
        """The JSON object of the whole block."""
        return {**self.fields, "proof": proof}

    def size(self) -> int:
        """Bytes of the canonical block with the longest possible proof."""
        return len(canonical(self.with_proof(MAX_PROOF)))
