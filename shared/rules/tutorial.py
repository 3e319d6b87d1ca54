"""The tutorial's own rules (docs/tutorial.md), so that a node under them is a node of the tutorial's network.

They are as weak as the tutorial's: nothing is signed, there are no balances, a proof does not depend on its block, and
only the links and proofs of another node's chain are checked. Two kinds of blocks are refused besides: those that no
program of the tutorial writes (numbers that are not finite, transactions that are not objects), and those that cannot
be stored by height.

The ledger only counts equal transactions. All transactions with one canonical text form a queue. Its account is the
SHA-256 of the text, with the balance 0 and, as nonce, the number of them that are mined. So the mempool, templates,
undo records and reorganisations treat equal transactions as they treat the transactions of one sender.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.addresses import REWARD_SENDER
from shared.block import Block, Header, Template
from shared.chain_spec import ChainSpec
from shared.errors import InputError, RuleCode, RuleError
from shared.hashing import is_hash, sha256
from shared.keys import KeyPair
from shared.ledger import NO_ACCOUNT, Change, Entries, Touched
from shared.proof import MAX_PROOF, accepts
from shared.transaction import MAX_TRANSACTION_BYTES, Transaction
from shared.tutorial_variants import LATER, begins_as_later_ones, proves_as_later_ones
from shared.wire import MAX_INTEGER

_GENESIS = {"index": 1, "previous_hash": 1, "proof": 100}
_REQUIRED = ("sender", "recipient", "amount")
# The tutorial has no limit. Appending a larger block would block the store too long and exceed its argument limit.
_MAX_TRANSACTIONS = 50_000


class TutorialRules:
    """Unsigned transactions, proofs over the last proof, the longest chain.

    They use three fields of the spec: `difficulty` (65536 is the tutorial's four hex zeros), and the two limits of a
    block, which apply only to blocks that this node makes.
    """

    has_accounts = False
    reward_first = False
    relays = False  # two nodes would send each other copies for ever
    headers_alone = False  # a hash covers the whole block
    open_registration = True
    floats = True
    window_size = 1

    def __init__(self, spec: ChainSpec) -> None:
        self.spec = spec

    # --- beginnings ---

    def genesis(self) -> Block:
        return self.adopt_genesis({**_GENESIS, "timestamp": self.spec.genesis_timestamp, "transactions": []})

    def adopt_genesis(self, value: Any) -> Block:
        header, canonical = self._read_header(value)
        if begins_as_later_ones(value):
            raise RuleError("wrong_genesis", LATER)
        if any(type(value[name]) is not int or value[name] != item for name, item in _GENESIS.items()):
            raise RuleError("wrong_genesis", "A chain begins with index 1, previous_hash 1 and proof 100.")
        if value["transactions"]:
            raise RuleError("wrong_genesis", "The first block holds no transactions.")
        return Block(header, (), canonical)

    def may_begin_with(self, genesis_hash: str) -> bool:
        """True of every hash, since each node's genesis block has its own time. `adopt_genesis` judges the block."""
        return is_hash(genesis_hash)

    def may_share_genesis(self, ours: str, theirs: str) -> bool:
        """Always: a longer chain replaces ours, its genesis block included."""
        return True

    def initial(self) -> Entries:
        return Entries()

    # --- reading ---

    def read_header(self, value: Any) -> Header:
        """A header from the JSON object of the whole block, because the hash covers the transactions too."""
        return self._read_header(value)[0]

    def read_block(self, value: Any) -> Block:
        header, canonical = self._read_header(value)
        if not is_hash(header.previous_hash):
            raise _bad_field("previous_hash", "must be 64 lower-case hexadecimal digits")
        try:
            transactions = [self._transaction(item) for item in value["transactions"]]
        except InputError as error:
            raise error.in_block() from None
        if transactions and _is_reward(transactions[-1].fields):
            transactions[-1] = _reward(transactions[-1], header.index, len(transactions) - 1)
        return self.placed(Block(header, tuple(transactions), canonical), Entries())

    def complete(self, template: Template, proof: int) -> Block:
        return self.read_block(template.with_proof(proof))

    def read_request(self, value: Any) -> Transaction:
        if not isinstance(value, dict):
            raise InputError("not_an_object", "A transaction is a JSON object.")
        for name in _REQUIRED:
            if name not in value:
                raise InputError("missing_field", f"{name} is missing.", field=name)
        transaction = self._transaction(value)
        if transaction.size > MAX_TRANSACTION_BYTES:
            raise RuleError("transaction_too_large", f"A transaction may have {MAX_TRANSACTION_BYTES} bytes at most.")
        return transaction

    def read_raw(self, raw: bytes) -> Transaction:
        raise RuleError("no_accounts", "Under the tutorial's rules there are no signed transactions.")

    def check_payee(self, address: str, *, field: str) -> None:
        """Nothing: the tutorial's recipients are any text, and there are no balances."""

    # --- naming: a nonce counts the equal transactions before, and is part of what the id is the hash of ---

    def numbered(self, transaction: Transaction, nonce: int) -> Transaction:
        identifier = sha256(f"{nonce}:".encode() + transaction.canonical).hex()
        return dataclasses.replace(transaction, nonce=nonce, id=identifier)

    def placed(self, block: Block, before: Entries) -> Block:
        seen: Counter[str] = Counter()
        transactions = []
        for transaction in block.transactions:
            if transaction.type != "reward":
                text = transaction.sender
                mined = before.accounts.get(text, NO_ACCOUNT).nonce
                transaction = self.numbered(transaction, mined + seen[text])
                seen[text] += 1
            transactions.append(transaction)
        return dataclasses.replace(block, transactions=tuple(transactions))

    def recall(self, text: bytes, identifier: str, nonce: int) -> Transaction:
        return self.numbered(self._transaction(json.loads(text)), nonce)

    def recall_block(self, value: Any, ids: Sequence[str], before: Callable[[], Entries]) -> Sequence[Transaction]:
        return self.placed(self.read_block(value), before()).transactions

    # --- judging ---

    def check_header(self, header: Header, window: Sequence[Header], now: float | None) -> None:
        """Check link and proof, as the tutorial does, and the index.

        The tutorial ignores the index, but a chain that is stored by height needs each block at its own. It ignores
        the time as well, so no block is ever too early.
        """
        parent = window[-1]
        header.check_link(parent)
        if not accepts(_seal(parent), self.spec.difficulty, header.proof):
            if proves_as_later_ones(parent.proof, header.proof, parent.hash, self.spec.difficulty):
                raise RuleError("other_variant", LATER, field="proof")
            raise RuleError(
                "wrong_proof",
                f"The hash of the proofs {parent.proof} and {header.proof} does not meet the difficulty "
                f"{self.spec.difficulty}.",
                field="proof",
            )

    def check_body(self, block: Block, senders: Mapping[str, str] | None = None) -> None:
        """Nothing: the tutorial takes blocks of any size, with rewards of any number and amount."""

    def touched(self, transactions: Sequence[Transaction]) -> Touched:
        return Touched(frozenset(_texts(transactions)), frozenset())

    def apply(self, block: Block, known: Entries) -> Change:
        mined = _texts(block.transactions)
        before = {text: known.accounts.get(text, NO_ACCOUNT) for text in mined}
        after = {text: account._replace(nonce=account.nonce + mined[text]) for text, account in before.items()}
        return Change(Entries(after, {}, known.supply), Entries(before, {}, known.supply))

    def work(self, header: Header) -> int:
        return 1 if header.index > 1 else 0

    def trial(self) -> "Turns":
        return Turns()

    def template(
        self,
        window: Sequence[Header],
        transactions: Sequence[Transaction],
        recipient: str,
        now: float,
        sealer: KeyPair | None = None,
    ) -> Template:
        parent = window[-1]
        reward = {"sender": REWARD_SENDER, "recipient": recipient, "amount": 1}
        fields = {
            "index": parent.index + 1,
            "timestamp": float(now),
            "transactions": [*(item.fields for item in transactions), reward],
            "previous_hash": parent.hash,
        }
        return Template(fields, _seal(parent), self.spec.difficulty)

    def opens_at(self, window: Sequence[Header]) -> float:
        return 0.0  # no block is ever too early

    # --- from JSON ---

    def _read_header(self, value: Any) -> tuple[Header, bytes]:
        """The header and the canonical bytes of a block. Fields that the tutorial does not know are hashed and kept."""
        if not isinstance(value, dict) or not value.keys() >= {*_GENESIS, "timestamp", "transactions"}:
            raise RuleError("bad_block_fields", "A block has index, timestamp, transactions, proof, previous_hash.")
        for name, low, high in (("index", 1, MAX_INTEGER), ("proof", 0, MAX_PROOF)):
            if type(value[name]) is not int or not low <= value[name] <= high:
                raise _bad_field(name, "must be a whole number in its range")
        timestamp = value["timestamp"]
        if type(timestamp) not in (int, float) or not 0 <= timestamp <= MAX_INTEGER:  # NaN fails as well
            raise _bad_field("timestamp", "must be a number of seconds in its range")
        body = value["transactions"]
        if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
            raise RuleError("bad_block_fields", "transactions must be a list of objects.", field="transactions")
        if len(body) > _MAX_TRANSACTIONS:
            raise RuleError("too_many_transactions", f"A block may have {_MAX_TRANSACTIONS} transactions at most.")
        try:
            canonical = _canonical(value)
        except InputError as error:
            raise error.in_block() from None
        header = Header(
            index=value["index"],
            timestamp=timestamp,
            previous_hash=value["previous_hash"],
            difficulty=self.spec.difficulty,
            transactions_root="",
            proof=value["proof"],
            hash=sha256(canonical).hex(),
        )
        return header, canonical

    def _transaction(self, value: dict[str, Any]) -> Transaction:
        """A transaction with the nonce and id of the first that has its text; `numbered` replaces both."""
        canonical = _canonical(value)
        recipient = value.get("recipient")
        return Transaction(
            id=sha256(b"0:" + canonical).hex(),
            type="transfer",
            chain_id=self.spec.chain_id,
            nonce=0,
            sender=sha256(canonical).hex(),
            recipient=recipient if isinstance(recipient, str) else "",
            amount=0,
            fee=0,
            owner=None,
            fields=value,
            canonical=canonical,
        )


class Turns:
    """How many transactions of each text have had their turn: the `Trial` of these rules."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def learn(self, entries: Entries) -> None:
        for text, account in entries.accounts.items():
            self._next.setdefault(text, account.nonce)

    def next_nonce(self, address: str) -> int:
        return self._next.get(address, 0)

    def apply(self, transaction: Transaction) -> None:
        expected = self.next_nonce(transaction.sender)
        if transaction.nonce != expected:
            code: RuleCode = "nonce_too_low" if transaction.nonce < expected else "nonce_gap"
            raise RuleError(code, f"{expected} transactions with this text came before.", field="nonce")
        self._next[transaction.sender] = expected + 1


def _texts(transactions: Sequence[Transaction]) -> Counter[str]:
    """The accounts of the transactions' texts, and how many transactions of each there are, without rewards."""
    return Counter(transaction.sender for transaction in transactions if transaction.type != "reward")


def _is_reward(fields: dict[str, Any]) -> bool:
    """Whether the last transaction of a block is its reward. The tutorial writes its sender as 0 and as "0"."""
    sender = fields.get("sender")
    return sender == REWARD_SENDER or (type(sender) is int and sender == 0)


def _reward(transaction: Transaction, height: int, position: int) -> Transaction:
    """The reward of a block. Its text is the same in every block of a miner, so its id is made from its place."""
    identifier = sha256(f"{height}:{position}:".encode() + transaction.canonical).hex()
    return dataclasses.replace(transaction, type="reward", nonce=height, sender=REWARD_SENDER, id=identifier)


def _seal(parent: Header) -> bytes:
    """The digits of the parent's proof."""
    return str(parent.proof).encode()


def _canonical(value: dict[str, Any]) -> bytes:
    """Canonical bytes of a value that may hold fractions, which Python writes exactly as it read them."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise InputError("not_finite", "A number is not finite, or the value is nested too deeply.") from None


def _bad_field(name: str, must: str) -> RuleError:
    return RuleError("bad_block_field", f"{name} {must}.", field=name)
