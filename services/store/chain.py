"""The chain of one node: reading it, and the one way to make it longer."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.errors import Damaged, LedgerDiffers, NotFound, TipMoved, Unfinished, WrongChain
from services.store.arguments import index_lists, ledger_lists, nonce_list
from services.store.digest import Digest, header_term, ledger_sum, read_digest
from services.store.keys import Keys
from services.store.port import Store
from services.store.records import (
    StoredHeader,
    Tip,
    allowance_field,
    decode_account,
    decode_allowance,
    decode_entries,
    decode_header,
    decode_tip,
    encode_account,
    encode_entries,
    encode_header,
)
from services.store.scripts import Scripts
from shared.block import Block, Header
from shared.errors import RuleError
from shared.ledger import Account, Change, Entries, Touched
from shared.rules import Rules

# Ended rounds and answered requests stay readable for a day.
KEEP_SECONDS = 86_400
# Headers that are read at once while streaming, and bytes of blocks: these bound memory, whatever the chain's length
# and the blocks' size.
PAGE = 100
READ_AHEAD = 2**18
# Blocks at the tip that a locator names one by one.
DENSE = 10
# Tips whose ancestors are remembered.
_WINDOWS = 4
# How often a read that spans several commands is repeated when the chain changes in between.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Location:
    """Where a transaction stands on the chain."""

    height: int
    position: int  # 0 is the reward
    block_hash: str


@dataclass(frozen=True, slots=True)
class SealedBy:
    """The round and worker that found a block's proof."""

    round_id: str
    worker: str


class ChainStore:
    """Blocks, headers, transaction index and ledger of one node."""

    def __init__(self, redis: Store, keys: Keys, rules: Rules) -> None:
        self.redis = redis
        self.keys = keys
        self.rules = rules
        self.scripts = Scripts(redis)
        self._windows: dict[str, tuple[Header, ...]] = {}  # by the hash of the tip that they end at, the last few

    # --- reading ---

    def initialise(self) -> None:
        """Write the genesis block, unless the chain has begun.

        Raises:
            WrongChain: the store holds a chain that began with another genesis block.
        """
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
        ]
        for address, account in ledger.accounts.items():
            args += [address, encode_account(account)]
        found = self.scripts.run("initialise", [self.keys.prefix], args).decode()
        if found != genesis.hash and self.block_bytes(genesis.hash) is not None:
            return  # our chain, with a damaged list of heights: the check at the start names that
        try:
            self.rules.adopt_genesis(self.block_object(found))
        except (RuleError, NotFound, Damaged):
            raise WrongChain(
                f"The store holds a chain with genesis block {found}, but the chain spec {self.rules.spec.name} has "
                f"{genesis.hash}: use another QUARRY_NODE or data directory, or the spec that it began with."
            ) from None

    def tip(self) -> Tip:
        return decode_tip(self.redis.hgetall(self.keys.tip))

    def window(self, tip: Tip) -> Sequence[Header]:
        """The headers that end at `tip`, as the rules want them for its child.

        Raises:
            TipMoved: `tip` is not the tip any more, and its ancestors were not looked up lately.
        """
        known = self._windows
        found = known.get(tip.hash)
        if found is None:
            found = self._next_window(tip) or self._read_window(tip)
            self._windows = dict([*known.items(), (tip.hash, found)][-_WINDOWS:])  # whole, since threads share it
        return found

    def _next_window(self, tip: Tip) -> tuple[Header, ...] | None:
        """The window that ends at `tip`, from the one that ends at its parent: all but one header are the same."""
        stored = self.header(tip.hash)
        before = self._windows.get(str(stored.header.previous_hash)) if stored is not None else None
        return None if stored is None or before is None else (*before, stored.header)[-self.rules.window_size :]

    def _read_window(self, tip: Tip) -> tuple[Header, ...]:
        hashes = self.redis.lrange(self.keys.heights, -self.rules.window_size, -1)
        if not hashes or hashes[-1].decode() != tip.hash:
            raise TipMoved("The tip moved while its ancestors were read.")
        return tuple(stored.header for stored in self._headers(hashes))

    def header(self, block_hash: str) -> StoredHeader | None:
        text = self.redis.hget(self.keys.headers, block_hash)
        return None if text is None else decode_header(text)

    def headers(self, first: int, limit: int) -> list[StoredHeader]:
        """The headers of heights `first` to `first + limit - 1`, as far as there are any."""
        return self._headers(self._hashes(first, limit))

    def hash_at(self, height: int) -> str | None:
        """The hash of the block at `height` on the chain."""
        found = self.redis.lindex(self.keys.heights, height - 1) if height > 0 else None
        return None if found is None else found.decode()

    def is_on_chain(self, stored: StoredHeader) -> bool:
        """Whether a block that is stored is part of the chain now, and not only a branch that was left."""
        return self.hash_at(stored.header.index) == stored.header.hash

    def block_bytes(self, block_hash: str) -> bytes | None:
        """The canonical block."""
        return self.redis.hget(self.keys.blocks, block_hash)

    def block_object(self, block_hash: str) -> dict[str, Any]:
        """The block's JSON object."""
        text = self.block_bytes(block_hash)
        if text is None:
            raise NotFound("There is no such block.")
        try:
            value: dict[str, Any] = json.loads(text)
        except ValueError:
            raise Damaged("A block of the store cannot be read; quarry chain verify names it.") from None
        return value

    def locator(self) -> list[str]:
        """Hashes of our chain from the tip down to genesis: the last few, then at doubling distances.

        The first that a peer has too is the fork point, or lies at most twice as deep.
        """
        height = self.tip().height
        heights, step = [], 1
        while height > 1:
            heights.append(height)
            if len(heights) >= DENSE:
                step *= 2
            height -= step
        hashes = [self.hash_at(height) for height in [*heights, 1]]
        return [found for found in hashes if found is not None]

    def fork_height(self, locator: Sequence[str]) -> int:
        """The height of the first hash of a locator that is on our chain; 0 if none is."""
        for block_hash in locator:
            stored = self.header(block_hash)
            if stored is not None and self.is_on_chain(stored):
                return stored.header.index
        return 0

    def after(self, locator: Sequence[str], limit: int) -> tuple[int, list[StoredHeader]]:
        """The height behind the first hash of a locator that is on our chain (1: none is), and headers from there on.

        Raises:
            TipMoved: the chain is reorganised again and again while it is read.
        """
        for _ in range(_ATTEMPTS):
            first = self.fork_height(locator) + 1
            found = self.headers(first, limit)
            # A reorganisation in between would give headers that do not follow what was asked for.
            follows = found[0].header.previous_hash in locator if found else self.tip().height < first
            if first == 1 or follows:
                return first, found
        raise TipMoved("The chain was reorganised while it was read.")

    def stream(self, first: int, last: int) -> Iterator[bytes]:
        """The canonical blocks from one height to another, never many at once (`read_blocks`).

        Raises:
            TipMoved: a reorganisation replaced what has been sent already; the reader must start again.
        """
        sent: str | None = None
        for start in range(first, last + 1, PAGE):
            headers = self.headers(start, min(PAGE, last + 1 - start))
            if not headers:
                raise TipMoved("The chain became shorter while it was read.")
            for stored, text in self.read_blocks(headers):
                if sent is not None and stored.header.previous_hash != sent:
                    raise TipMoved("The chain was reorganised while it was read.")
                sent = stored.header.hash
                yield text

    def read_blocks(self, headers: Iterable[StoredHeader]) -> Iterator[tuple[StoredHeader, bytes]]:
        """The canonical blocks of stored headers, in their order; READ_AHEAD bytes at a time, or one block."""
        for group in _by_size(headers, READ_AHEAD):
            texts = self.redis.hmget(self.keys.blocks, [stored.header.hash for stored in group])
            texts.reverse()  # so that each can go as soon as it is handed on
            for stored in group:
                text = texts.pop()
                assert text is not None, "append.lua writes block and header together"
                yield stored, text

    def transaction_ids(self, block_hash: str) -> list[str]:
        """The ids of a block's transactions, in order."""
        packed = (self.redis.hget(self.keys.ids, block_hash) or b"").hex()
        return [packed[i : i + 64] for i in range(0, len(packed), 64)]

    def locate(self, transaction_id: str) -> Location | None:
        """Where a transaction stands on the chain, or None."""
        found = self.redis.hget(self.keys.transactions, bytes.fromhex(transaction_id))
        if found is None:
            return None
        height, position = map(int, found.split(b":"))
        block_hash = self.hash_at(height)
        # The index is finished a moment after a reorganisation; the chain itself is the judge.
        if block_hash is None:
            return None
        packed = self.redis.hget(self.keys.ids, block_hash) or b""
        if packed[32 * position : 32 * position + 32].hex() != transaction_id:
            return None
        return Location(height, position, block_hash)

    def returning(self, transaction_id: str) -> dict[str, Any] | None:
        """The JSON object of a transaction that a reorganisation has detached and not yet brought back.

        A moment later it is in the mempool, or has a record.
        """
        found, journal = self.redis.hget(self.keys.transactions, bytes.fromhex(transaction_id)), None
        if found is not None:
            journal = self.redis.get(self.keys.journal)
        if found is None or journal is None:
            return None
        (height, position), value = map(int, found.split(b":")), json.loads(journal)
        detached: list[str] = value["detached"][::-1]
        if not 0 < height - value["fork"] <= len(detached):
            return None
        block_hash = detached[height - value["fork"] - 1]
        if self.transaction_ids(block_hash)[position : position + 1] != [transaction_id]:
            return None
        fields: dict[str, Any] = self.block_object(block_hash)["transactions"][position]
        return fields

    def history(self, address: str, *, newest: int, limit: int) -> list[tuple[int, int]]:
        """(height, position) of the transactions that name `address`, newest first, after skipping `newest`."""
        found = self.redis.lrange(self.keys.history(address), -newest - limit, -newest - 1)
        return [(int(height), int(position)) for height, position in (item.split(b":") for item in reversed(found))]

    def account(self, address: str) -> Account:
        return decode_account(self.redis.hget(self.keys.accounts, address))

    def allowance(self, owner: str, spender: str) -> int:
        return decode_allowance(self.redis.hget(self.keys.allowances, allowance_field((owner, spender))))

    def entries(self, keys: Touched) -> tuple[Tip, Entries]:
        """The ledger's entries for `keys`, and the tip that they belong to: one moment."""
        addresses, pairs = sorted(keys.accounts), sorted(keys.allowances)
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.hgetall(self.keys.tip)
        if addresses:
            pipeline.hmget(self.keys.accounts, addresses)
        if pairs:
            pipeline.hmget(self.keys.allowances, [allowance_field(pair) for pair in pairs])
        replies = pipeline.execute()
        tip = decode_tip(replies.pop(0))
        accounts = replies.pop(0) if addresses else []
        allowances = replies.pop(0) if pairs else []
        return tip, Entries(
            {address: decode_account(value) for address, value in zip(addresses, accounts, strict=True)},
            {pair: decode_allowance(value) for pair, value in zip(pairs, allowances, strict=True)},
            tip.supply,
        )

    def undo(self, block_hash: str) -> Entries:
        """The ledger entries before a block."""
        text = self.redis.hget(self.keys.undo, block_hash)
        if text is None:
            raise NotFound("There is no undo record for that block.")
        return decode_entries(text)

    def _hashes(self, first: int, limit: int) -> list[bytes]:
        if first < 1 or limit < 1:
            return []
        return self.redis.lrange(self.keys.heights, first - 1, first + limit - 2)

    def _headers(self, hashes: Sequence[bytes]) -> list[StoredHeader]:
        found = self.redis.hmget(self.keys.headers, list(hashes)) if hashes else []
        return [decode_header(text) for text in found if text is not None]

    # --- writing ---

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
            _digest_after(tip, block, header, change),
        ]
        for items in ledger_lists(change.after), index_lists(block), [nonce_list(change)]:
            for values in items:
                args.append(len(values))
                args += values
        outcome, answered = self.scripts.run("append", [self.keys.prefix], args)
        if outcome == b"moved":
            raise TipMoved("Another block was appended first.")
        if outcome == b"unfinished":
            raise Unfinished("A reorganisation must be finished first.")
        if outcome == b"differs":
            raise LedgerDiffers(answered.decode())
        return answered.decode() or None


def _digest_after(tip: Tip, block: Block, header: str, change: Change) -> str:
    """The digest after an append. Nothing where the tip has none: the next start computes it."""
    digest = read_digest(tip.digest, tip.hash)
    if digest is None:
        return ""
    after = digest.with_change(change).with_headers([header_term(block.index, block.hash.encode(), header.encode())])
    return str(replace(after, block=block.hash))


def _by_size(headers: Iterable[StoredHeader], most: int) -> Iterator[list[StoredHeader]]:
    """Groups of consecutive headers whose blocks have at most `most` bytes together, or of one that has more."""
    group: list[StoredHeader] = []
    size = 0
    for stored in headers:
        if group and size + stored.size > most:
            yield group
            group, size = [], 0
        group.append(stored)
        size += stored.size
    if group:
        yield group
