"""The standard rules (docs/consensus.md). The order of the checks is the order in which a broken rule is named."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from shared import ledger, merkle
from shared.block import Block, Header, Template
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.difficulty import WINDOW, next_difficulty
from shared.errors import RuleError, TooEarly
from shared.hashing import sha256
from shared.proof import MAX_PROOF, Seal, meets
from shared.timestamps import max_ahead, median_time
from shared.transaction import (
    Transaction,
    check_recipient,
    check_signature,
    from_raw,
    make_reward,
    normalise,
    read_reward,
    read_transaction,
    recalled,
    require_payee,
)
from shared.wire import MAX_INTEGER

_GENESIS_PROOF = 100
_HEADER_FIELDS = frozenset({"index", "timestamp", "previous_hash", "difficulty", "transactions_root", "proof"})
_HASH = re.compile(r"[0-9a-f]{64}")
_MAX_DIFFICULTY = 2**256 - 1
# Canonical bytes of a block with the longest numbers and no transactions, and of the longest reward.
_HEADER_ROOM = 512
_REWARD_ROOM = 512


class StandardRules:
    """Signed transactions, a ledger, seals that commit to the whole block."""

    window_size = WINDOW
    relays = True
    headers_alone = True
    open_registration = False
    has_accounts = True
    floats = False

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec
        self._ahead = max_ahead(spec.block_interval)

    def genesis(self) -> Block:
        fields = {
            "index": 1,
            "timestamp": self.spec.genesis_timestamp,
            "previous_hash": self.spec.hash,
            "difficulty": self.spec.difficulty,
            "transactions_root": merkle.root([]).hex(),
            "proof": _GENESIS_PROOF,
        }
        header = self.read_header(fields)
        return Block(header, (), canonical({**fields, "transactions": []}))

    def adopt_genesis(self, value: Any) -> Block:
        genesis = self.genesis()
        if not isinstance(value, dict) or canonical(value) != genesis.canonical:
            raise RuleError("wrong_genesis", f"The chain does not begin with {genesis.hash}: another chain spec.")
        return genesis

    def may_begin_with(self, genesis_hash: str) -> bool:
        return genesis_hash == self.genesis().hash

    def may_share_genesis(self, ours: str, theirs: str) -> bool:
        return ours == theirs

    def initial(self) -> ledger.Entries:
        accounts = {address: ledger.Account(amount) for address, amount in self.spec.allocations.items() if amount}
        return ledger.Entries(accounts, {}, sum(self.spec.allocations.values()))

    def read_header(self, value: Any) -> Header:
        if not isinstance(value, dict) or value.keys() != _HEADER_FIELDS:
            raise RuleError("bad_block_fields", "A header has exactly its six fields.")
        for name, low, high in (
            ("index", 1, MAX_INTEGER),
            ("timestamp", 0, MAX_INTEGER),
            ("difficulty", 1, _MAX_DIFFICULTY),
            ("proof", 0, MAX_PROOF),
        ):
            if type(value[name]) is not int or not low <= value[name] <= high:
                raise RuleError("bad_block_field", f"{name} must be a whole number in its range.", field=name)
        for name in ("previous_hash", "transactions_root"):
            if not isinstance(value[name], str) or not _HASH.fullmatch(value[name]):
                raise RuleError("bad_block_field", f"{name} must be 64 lower-case hexadecimal digits.", field=name)
        prefix = _prefix(value)
        return Header(
            index=value["index"],
            timestamp=value["timestamp"],
            previous_hash=value["previous_hash"],
            difficulty=value["difficulty"],
            transactions_root=value["transactions_root"],
            proof=value["proof"],
            hash=sha256(prefix + str(value["proof"]).encode()).hex(),
        )

    def read_block(self, value: Any) -> Block:
        if not isinstance(value, dict) or not isinstance(value.get("transactions"), list):
            raise RuleError("bad_block_fields", "A block is an object with a list of transactions.")
        body = value["transactions"]
        if len(body) > self.spec.max_block_transactions:
            raise RuleError("too_many_transactions", "The block has more transactions than the spec allows.")
        header = self.read_header({name: item for name, item in value.items() if name != "transactions"})
        transactions = tuple(read_transaction(item) if i else read_reward(item) for i, item in enumerate(body))
        root = merkle.root([merkle.leaf_hash(transaction.canonical) for transaction in transactions]).hex()
        if root != header.transactions_root:
            raise RuleError("wrong_root", "transactions_root does not commit to these transactions.")
        return Block(header, transactions, canonical(value))

    def read_request(self, value: Any) -> Transaction:
        transaction = read_transaction(normalise(value))
        self._check_chain(transaction)
        check_recipient(transaction, self.spec)
        check_signature(transaction, self.spec)
        return transaction

    def check_payee(self, address: str, *, field: str) -> None:
        require_payee(address, self.spec, field=field)

    def _check_chain(self, transaction: Transaction) -> None:
        if transaction.chain_id != self.spec.chain_id:
            raise RuleError("wrong_chain_id", f"chain_id must be {self.spec.chain_id} on this chain.", field="chain_id")

    def read_raw(self, raw: bytes) -> Transaction:
        # The fields come from the raw bytes, so there is no signature left to compare them with.
        transaction = read_transaction(from_raw(raw, self.spec))
        self._check_chain(transaction)
        check_recipient(transaction, self.spec)
        return transaction

    def recall(self, value: Any, identifier: str, nonce: int) -> Transaction:
        return recalled(value, identifier)

    def recall_block(
        self, value: Any, ids: Sequence[str], before: Callable[[], ledger.Entries]
    ) -> Sequence[Transaction]:
        return [recalled(item, name) for item, name in zip(value["transactions"], ids, strict=True)]

    def numbered(self, transaction: Transaction, nonce: int) -> Transaction:
        return transaction

    def placed(self, block: Block, before: ledger.Entries) -> Block:
        return block

    def seal(self, template: Template) -> Seal:
        return Seal(template.prefix, template.difficulty)

    def template(
        self, window: Sequence[Header], transactions: Sequence[Transaction], recipient: str, now: float
    ) -> Template:
        parent = window[-1]
        fees = sum(transaction.fee for transaction in transactions)
        reward = make_reward(self.spec.chain_id, parent.index + 1, recipient, self.spec.reward + fees)
        body = [reward, *transactions]
        difficulty = next_difficulty(window, self.spec)
        header = {
            "index": parent.index + 1,
            "timestamp": max(int(now), median_time(window)),
            "previous_hash": parent.hash,
            "difficulty": difficulty,
            "transactions_root": merkle.root([merkle.leaf_hash(item.canonical) for item in body]).hex(),
        }
        fields = {**header, "transactions": [item.fields for item in body]}
        return Template(fields, _prefix(header), difficulty)

    def opens_at(self, window: Sequence[Header]) -> float:
        return float(median_time(window) - self._ahead)

    def room(self) -> int:
        return self.spec.max_block_bytes - _HEADER_ROOM - _REWARD_ROOM

    def check_header(self, header: Header, window: Sequence[Header], now: float | None) -> None:
        parent = window[-1]
        if header.index != parent.index + 1:
            raise RuleError("wrong_index", "index must be the parent's plus one.", field="index")
        if header.previous_hash != parent.hash:
            raise RuleError("wrong_previous_hash", "previous_hash must be the parent's hash.", field="previous_hash")
        if header.difficulty != next_difficulty(window, self.spec):
            raise RuleError("wrong_difficulty", "difficulty is not what the rules ask here.", field="difficulty")
        if not meets(bytes.fromhex(header.hash), header.difficulty):
            raise RuleError("wrong_proof", "The hash is not as rare as the difficulty asks.", field="proof")
        if header.timestamp < median_time(window):
            raise RuleError(
                "timestamp_too_low", "timestamp lies before the median of the last 11 blocks.", field="timestamp"
            )
        if now is not None and header.timestamp > now + self._ahead:
            raise TooEarly(f"The block's timestamp lies more than {self._ahead} s in the future.")

    def check_body(self, block: Block) -> None:
        if block.size > self.spec.max_block_bytes:
            raise RuleError("block_too_large", "The block has more bytes than the spec allows.")
        if not block.transactions:
            raise RuleError("reward_missing", "Every block but genesis begins with its reward.")
        reward, *rest = block.transactions
        fees = sum(transaction.fee for transaction in rest)
        expected = make_reward(self.spec.chain_id, block.index, reward.recipient, self.spec.reward + fees)
        if reward.fields != expected.fields:
            raise RuleError("wrong_reward", "The reward must be the spec's plus the block's fees, on this chain.")
        for transaction in rest:
            check_signature(transaction, self.spec)

    def touched(self, transactions: Sequence[Transaction]) -> ledger.Touched:
        return ledger.touched(transactions)

    def apply(self, block: Block, known: ledger.Entries) -> ledger.Change:
        return ledger.apply_block(block.transactions, known, self.spec)

    def trial(self) -> ledger.Trial:
        return ledger.Trial(self.spec)

    def work(self, header: Header) -> int:
        return header.difficulty if header.index > 1 else 0


def _prefix(header: dict[str, Any]) -> bytes:
    """The seal: hex SHA-256 of the canonical header without its proof, 64 ASCII bytes."""
    return sha256(canonical({name: value for name, value in header.items() if name != "proof"})).hex().encode()
