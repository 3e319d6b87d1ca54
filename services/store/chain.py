"""The chain of one node: beginning it and appending to it. What only reads is in the base classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.errors import Damaged, LedgerDiffers, NotFound, TipMoved, Unfinished, WrongChain
from services.ports import Store
from services.store.arguments import index_lists, ledger_lists, nonce_list
from services.store.digest import Digest, header_term, ledger_sum, read_digest
from services.store.index import IndexReader
from services.store.keys import Keys
from services.store.ledger import LedgerReader
from services.store.packing import PackStore
from services.store.packs import full_hash
from services.store.pruning import PruneStore
from services.store.records import Tip, encode_account, encode_entries, encode_header
from services.store.schema import SCHEMA, SchemaStore
from services.store.stored import StoredRecords
from shared.block import Block, Header
from shared.errors import RuleError
from shared.ledger import Change
from shared.rules import Rules

# Ended rounds and answered requests stay readable for a day.
KEEP_SECONDS = 86_400
# Tips whose ancestors are remembered.
_WINDOWS = 4


@dataclass(frozen=True, slots=True)
class SealedBy:
    """The round and worker that found a block's proof."""

    round_id: str
    worker: str
    version: str = ""  # of the template that the round must still have; "": of any


class ChainStore(IndexReader, LedgerReader):
    """Blocks, headers, transaction index and ledger of one node."""

    def __init__(self, redis: Store, keys: Keys, rules: Rules) -> None:
        super().__init__(redis, keys)
        self.rules = rules
        self.stored = StoredRecords(redis, keys)
        self.packs = PackStore(redis, keys)
        self.prunes = PruneStore(redis, keys)
        self.schema = SchemaStore(redis, keys)
        self._windows: dict[str, tuple[Header, ...]] = {}  # by the hash of the tip that they end at, the last few

    def initialise(self) -> None:
        """Write the genesis block, unless the chain has begun.

        Raises:
            WrongChain: the store holds a chain that began with another genesis block, or what a later release has
                written.
        """
        self.schema.require_known()
        genesis, ledger = self.rules.genesis(), self.rules.initial()
        header = encode_header(genesis, 0)
        digest = Digest(genesis.hash, ledger_sum(ledger)).with_headers(
            [header_term(1, genesis.hash.encode(), header.encode())]
        )
        args: list[Any] = [
            genesis.hash,
            genesis.canonical,
            header,
            genesis.header.timestamp,
            ledger.supply,
            str(digest),
            SCHEMA,
        ]
        for address, account in ledger.accounts.items():
            args += [address, encode_account(account)]
        found = full_hash(self._scripts.run("initialise", [self.keys.prefix], args)).decode()
        if found != genesis.hash and self.block_bytes(genesis.hash) is not None:
            return  # this chain with a damaged list of heights, which the check at the start reports
        try:
            self.rules.adopt_genesis(self.block_object(found))
        except (RuleError, NotFound, Damaged):
            raise WrongChain(
                f"The store holds a chain with genesis block {found}, but the chain spec {self.rules.spec.name} has "
                f"{genesis.hash}: use another QUARRY_NODE or data directory, or the spec that it began with."
            ) from None

    def known_rules(self) -> int:
        """The number of the rules that every block is known to keep; 1 if none was noted."""
        return int(self._redis.get(self.keys.rules) or 1)

    def note_rules(self, number: int) -> None:
        """Note that every block keeps the rules with this number."""
        self._redis.set(self.keys.rules, str(number))

    def noted_upgrades(self) -> str:
        """The upgrades that every block is known to keep, as `note_upgrades` was given them; "" if none were noted."""
        return (self._redis.get(self.keys.upgrades) or b"").decode()

    def note_upgrades(self, text: str) -> None:
        """Note that every block keeps these upgrades."""
        self._redis.set(self.keys.upgrades, text)

    def window(self, tip: Tip) -> Sequence[Header]:
        """The headers that end at `tip`, as many as the rules need for its child, oldest first.

        Raises:
            TipMoved: `tip` is no longer the tip, and its window is not remembered.
        """
        known = self._windows
        found = known.get(tip.hash)
        if found is None:
            found = self._next_window(tip) or self._read_window(tip)
            self._windows = dict(
                [*known.items(), (tip.hash, found)][-_WINDOWS:]
            )  # replaced as a whole, since threads share it
        return found

    def _next_window(self, tip: Tip) -> tuple[Header, ...] | None:
        """The window that ends at `tip`, made from that of its parent; None if that is not remembered."""
        stored = self.header(tip.hash)
        before = self._windows.get(str(stored.header.previous_hash)) if stored is not None else None
        return None if stored is None or before is None else (*before, stored.header)[-self.rules.window_size :]

    def _read_window(self, tip: Tip) -> tuple[Header, ...]:
        hashes = [full_hash(item) for item in self._redis.lrange(self.keys.heights, -self.rules.window_size, -1)]
        if not hashes or hashes[-1].decode() != tip.hash:
            raise TipMoved("The tip moved while its ancestors were read.")
        return tuple(stored.header for stored in self.headers_of(hashes))

    def append(self, block: Block, change: Change, tip: Tip, now: float, sealed_by: SealedBy | None) -> str | None:
        """Append a block that was validated against `tip`; return the id of the mining request that it answers.

        Everything moves together: block, ledger, undo record, indexes, mempool, the round and its request.
        A block that is on the chain already is a success that changes nothing.

        Raises:
            TipMoved: another block was appended first. Nothing is written.
            Unfinished: the journal of a reorganisation waits (services/chain/finishing.py). Nothing is written.
            LedgerDiffers: the stored state is marked as wrong. Nothing is written.
        """
        ids = "".join(transaction.id for transaction in block.transactions)
        chainwork = tip.chainwork + self.rules.work(block.header)
        header = encode_header(block, chainwork)
        args: list[Any] = [
            tip.hash,
            block.hash,
            block.index,
            block.header.timestamp,
            chainwork,
            change.after.supply,
            block.canonical,
            header,
            encode_entries(change.before),
            bytes.fromhex(ids),
            ids,
            sealed_by.round_id if sealed_by else "",
            sealed_by.worker if sealed_by else "",
            KEEP_SECONDS,
            now,
            tip.digest,
            _digest_after(tip, block.header, header, change),
            sealed_by.version if sealed_by else "",
        ]
        for items in ledger_lists(change.after), index_lists(block), [nonce_list(change)]:
            for values in items:
                args.append(len(values))
                args += values
        outcome, answered = self._scripts.run("append", [self.keys.prefix], args)
        if outcome == b"moved":
            raise TipMoved("Another block was appended first.")
        if outcome == b"unfinished":
            raise Unfinished("A reorganisation must be finished first.")
        if outcome == b"differs":
            raise LedgerDiffers(answered.decode())
        return answered.decode() or None


def _digest_after(tip: Tip, header: Header, encoded: str, change: Change) -> str:
    """The digest after an append; "" if the tip has none: the next start computes it.

    Args:
        encoded: the header as it is stored.
    """
    digest = read_digest(tip.digest, tip.hash)
    if digest is None:
        return ""
    after = digest.with_change(change).with_headers([header_term(header.index, header.hash.encode(), encoded.encode())])
    return str(replace(after, block=header.hash))
