"""The standard rules (docs/consensus.md). The order of the checks decides which broken rule is named."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared import ledger, merkle, sealing
from shared.block import Block, Header, Template
from shared.canonical import canonical
from shared.chain_spec import ChainSpec
from shared.difficulty import WINDOW, next_difficulty
from shared.errors import InputError, RuleError, TooEarly
from shared.hashing import is_hash, is_hex, sha256
from shared.keys import SIGNATURE_BYTES, KeyPair
from shared.proof import MAX_PROOF, meets, proof_hash
from shared.reward import make_reward, read_reward
from shared.signatures import Signatures
from shared.timestamps import max_ahead, median_time
from shared.transaction import (
    Transaction,
    check_chain,
    check_recipient,
    check_signature,
    normalise,
    read_raw,
    read_transaction,
    recalled,
    require_payee,
)
from shared.wire import MAX_INTEGER

_GENESIS_PROOF = 100
_HEADER_FIELDS = ("index", "timestamp", "previous_hash", "difficulty", "transactions_root", "proof")
_SEALED_FIELDS = (*_HEADER_FIELDS, *sealing.SEALED_FIELDS)
_HEADER_NAMES, _SEALED_NAMES = frozenset(_HEADER_FIELDS), frozenset(_SEALED_FIELDS)
_MAX_DIFFICULTY = 2**256 - 1


class StandardRules:
    """Signed transactions, a ledger of accounts, and seals that commit to the whole block."""

    has_accounts = True
    reward_first = True
    relays = True
    headers_alone = True
    open_registration = False
    floats = False
    window_size = WINDOW

    def __init__(self, spec: ChainSpec, signatures: Signatures | None = None) -> None:
        self.spec = spec
        self._signatures = signatures  # None: nothing is known of them

    # --- beginnings ---

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

    # --- reading ---

    def read_header(self, value: Any) -> Header:
        sealed = self._is_sealed(value)
        names = _SEALED_FIELDS if sealed else _HEADER_FIELDS
        if not isinstance(value, dict) or value.keys() != (_SEALED_NAMES if sealed else _HEADER_NAMES):
            if sealed and isinstance(value, dict) and not value.keys() >= set(sealing.SEALED_FIELDS):
                raise RuleError("sealer_missing", "Only sealers make blocks here, and this one names none.")
            raise RuleError("bad_block_fields", f"A header has exactly the fields {', '.join(names)}.")
        for name, low, high in (
            ("index", 1, MAX_INTEGER),
            ("timestamp", 0, MAX_INTEGER),
            ("difficulty", 1, _MAX_DIFFICULTY),
            ("proof", 0, MAX_PROOF),
        ):
            if type(value[name]) is not int or not low <= value[name] <= high:
                raise RuleError("bad_block_field", f"{name} must be a whole number in its range.", field=name)
        for name in ("previous_hash", "transactions_root"):
            if not is_hash(value[name]):
                raise RuleError("bad_block_field", f"{name} must be 64 lower-case hexadecimal digits.", field=name)
        if sealed:
            for name, size in (("sealer", 32), ("sealer_signature", SIGNATURE_BYTES)):
                if not is_hex(value[name], size):
                    raise RuleError(
                        "bad_block_field", f"{name} must be {2 * size} lower-case hexadecimal digits.", field=name
                    )
        return Header(
            index=value["index"],
            timestamp=value["timestamp"],
            previous_hash=value["previous_hash"],
            difficulty=value["difficulty"],
            transactions_root=value["transactions_root"],
            proof=value["proof"],
            hash=proof_hash(_seal(value), value["proof"]).hex(),
            sealer=value["sealer"] if sealed else "",
            sealer_signature=value["sealer_signature"] if sealed else "",
        )

    def read_block(self, value: Any) -> Block:
        if not isinstance(value, dict) or not isinstance(value.get("transactions"), list):
            raise RuleError("bad_block_fields", "A block is an object with a list of transactions.")
        body = value["transactions"]
        most = self._at(value.get("index")).max_block_transactions
        if len(body) > most:
            raise RuleError("too_many_transactions", f"The block has {len(body)} transactions; the spec allows {most}.")
        header = self.read_header({name: item for name, item in value.items() if name != "transactions"})
        try:
            transactions = tuple(read_transaction(item) if i else read_reward(item) for i, item in enumerate(body))
        except InputError as error:
            raise error.in_block() from None
        root = merkle.root([merkle.leaf_hash(transaction.canonical) for transaction in transactions]).hex()
        if root != header.transactions_root:
            raise RuleError(
                "wrong_root", f"transactions_root is {header.transactions_root}; these transactions have {root}."
            )
        return Block(header, transactions, canonical(value))

    def complete(self, template: Template, proof: int) -> Block:
        if template.body is None:
            return self.read_block(template.with_proof(proof))
        fields = template.with_proof(proof)
        header = self.read_header({name: item for name, item in fields.items() if name != "transactions"})
        # The fields of an Ethereum transaction are compared with those that its raw bytes give (`check_body`), which
        # leaves nothing to read. The root was made of these very transactions.
        try:
            body = tuple(
                read_transaction(item.fields) if item.fields.get("scheme") == "ed25519" else item
                for item in template.body
            )
        except InputError as error:
            raise error.in_block() from None
        return Block(header, body, template.text(proof))

    def read_request(self, value: Any) -> Transaction:
        transaction = read_transaction(normalise(value))
        check_chain(transaction, self.spec)
        check_recipient(transaction, self.spec)
        check_signature(transaction, self.spec)
        return transaction

    def read_raw(self, raw: bytes) -> Transaction:
        # The fields come from the raw bytes, so there is no signature left to compare them with.
        transaction = read_raw(raw, self.spec)
        check_chain(transaction, self.spec)
        check_recipient(transaction, self.spec)
        return transaction

    def check_payee(self, address: str, *, field: str) -> None:
        require_payee(address, self.spec, field=field)

    # --- naming: transactions contain their nonces, and ids follow from their bytes ---

    def numbered(self, transaction: Transaction, nonce: int) -> Transaction:
        return transaction

    def placed(self, block: Block, before: ledger.Entries) -> Block:
        return block

    def recall(self, text: bytes, identifier: str, nonce: int) -> Transaction:
        return recalled(json.loads(text), identifier, text)

    def recall_block(
        self, value: Any, ids: Sequence[str], before: Callable[[], ledger.Entries]
    ) -> Sequence[Transaction]:
        return [recalled(item, name, canonical(item)) for item, name in zip(value["transactions"], ids, strict=True)]

    # --- judging ---

    def check_header(self, header: Header, window: Sequence[Header], now: float | None) -> None:
        parent = window[-1]
        header.check_link(parent)
        difficulty = next_difficulty(window, self.spec)
        if header.difficulty != difficulty:
            raise RuleError(
                "wrong_difficulty", f"difficulty must be {difficulty}, not {header.difficulty}.", field="difficulty"
            )
        if not meets(bytes.fromhex(header.hash), header.difficulty):
            raise RuleError(
                "wrong_proof", f"The hash {header.hash} does not meet the difficulty {difficulty}.", field="proof"
            )
        earliest = median_time(window)
        if header.timestamp < earliest:
            raise RuleError(
                "timestamp_too_low",
                f"timestamp must be at least {earliest}, the median of the last 11 blocks, not {header.timestamp}.",
                field="timestamp",
            )
        spec = self.spec.at(header.index)
        if spec.sealers:
            known = self._signatures
            sealing.check_sealer(header, spec.sealers, is_good=known is not None and known.sealed(header))
        ahead = max_ahead(spec.block_interval)
        if now is not None and header.timestamp > now + ahead:
            raise TooEarly(f"The block's timestamp lies more than {ahead} s in the future.")

    def check_body(self, block: Block, senders: Mapping[str, str] | None = None) -> None:
        most = self.spec.at(block.index).max_block_bytes
        if block.size > most:
            raise RuleError("block_too_large", f"The block has {block.size} bytes; the spec allows {most}.")
        if not block.transactions:
            raise RuleError("reward_missing", "Every block but genesis begins with its reward.")
        reward, *rest = block.transactions
        fees = sum(transaction.fee for transaction in rest)
        expected = make_reward(self.spec.chain_id, block.index, reward.recipient, self.spec.reward + fees)
        if reward.fields != expected.fields:
            raise RuleError("wrong_reward", f"The reward must have {_told(expected)}, not {_told(reward)}.")
        known = self._signatures
        for transaction in rest:
            sender, is_good = None, False
            if senders:
                sender = senders.get(transaction.id)
            elif known is not None and transaction.fields["scheme"] == "ethereum":
                sender = known.sender(transaction)
            elif known is not None:
                is_good = known.signed(transaction)
            check_signature(transaction, self.spec, sender, is_good=is_good)

    def touched(self, transactions: Sequence[Transaction]) -> ledger.Touched:
        return ledger.touched(transactions)

    def apply(self, block: Block, known: ledger.Entries) -> ledger.Change:
        return ledger.apply_block(block.transactions, known, self.spec)

    def work(self, header: Header) -> int:
        return header.difficulty if header.index > 1 else 0

    def trial(self) -> ledger.Trial:
        return ledger.Trial(self.spec)

    def template(
        self,
        window: Sequence[Header],
        transactions: Sequence[Transaction],
        recipient: str,
        now: float,
        sealer: KeyPair | None = None,
    ) -> Template:
        parent = window[-1]
        height = parent.index + 1
        fees = sum(transaction.fee for transaction in transactions)
        reward = make_reward(self.spec.chain_id, height, recipient, self.spec.reward + fees)
        body = [reward, *transactions]
        difficulty = next_difficulty(window, self.spec)
        header: dict[str, Any] = {
            "index": height,
            "timestamp": max(int(now), median_time(window)),
            "previous_hash": parent.hash,
            "difficulty": difficulty,
            "transactions_root": merkle.root([merkle.leaf_hash(item.canonical) for item in body]).hex(),
        }
        if sealers := self.spec.at(height).sealers:
            if sealer is None:
                raise RuleError("sealer_missing", "Only sealers make blocks here, and this node has no sealer's key.")
            sealing.require_sealer(sealer.public_key, sealers)
            header = sealing.sign(header, sealer)
        fields = {**header, "transactions": [item.fields for item in body]}
        return Template(fields, _seal(header), difficulty, tuple(body))

    def opens_at(self, window: Sequence[Header]) -> float:
        return float(median_time(window) - max_ahead(self.spec.at(window[-1].index + 1).block_interval))

    # --- by height ---

    def _at(self, index: Any) -> ChainSpec:
        """The constants for a block or header whose index may be anything."""
        return self.spec.at(index) if type(index) is int else self.spec

    def _is_sealed(self, value: Any) -> bool:
        """Whether a header must be signed by a sealer. Nobody signs genesis."""
        index = value.get("index") if isinstance(value, dict) else None
        return index != 1 and bool(self._at(index).sealers)


def _seal(header: dict[str, Any]) -> bytes:
    """Hex SHA-256 of the canonical header without its proof: 64 ASCII bytes.

    Numbers are whole and texts hexadecimal, so canonical JSON is what is written here, in a third of the time.
    """
    sealer = (
        f'"sealer": "{header["sealer"]}", "sealer_signature": "{header["sealer_signature"]}", '
        if "sealer" in header
        else ""
    )
    text = (
        f'{{"difficulty": {header["difficulty"]}, "index": {header["index"]}, "previous_hash": '
        f'"{header["previous_hash"]}", {sealer}"timestamp": {header["timestamp"]}, "transactions_root": '
        f'"{header["transactions_root"]}"}}'
    )
    return sha256(text.encode()).hex().encode()


def _told(reward: Transaction) -> str:
    return f"amount {reward.fields['amount']}, nonce {reward.nonce} and chain_id {reward.chain_id}"
