"""How ledger entries, headers, the tip and order members are written in Redis, and read again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.errors import Damaged, NotBegun
from services.store.block_times import PLAIN, BlockTimes
from shared.amounts import MAX_AMOUNT
from shared.block import Block, Header
from shared.forkchoice import TipClaim
from shared.hashing import sha256
from shared.ledger import NO_ACCOUNT, Account, AllowanceKey, Entries

# The text before the check of an undo record.
_CHECK = b',"check":"'


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block of the chain, and totals of the chain up to it."""

    hash: str
    height: int
    chainwork: int
    supply: int  # base units
    timestamp: int | float  # Unix seconds
    digest: str = ""  # of the state after it (services/store/digest.py), as it is stored
    times: BlockTimes = PLAIN  # of the blocks after it

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.hash)

    def time_limit(self, now: float) -> float:
        """The time by which a block counts as too early, Unix seconds. `now`: the node's clock."""
        return self.times.limit(now, self.timestamp)

    def following_time(self, now: float, ahead: int) -> float:
        """The timestamp of the next block, see `BlockTimes.following`."""
        return self.times.following(now, self.timestamp, ahead)


@dataclass(frozen=True, slots=True)
class StoredHeader:
    """A header, and facts about its block that are known without reading it."""

    header: Header
    chainwork: int
    size: int  # canonical bytes of the block
    transactions: int  # how many, the reward included


def fee_rank(fee: int) -> str:
    """The first 64 characters of an order member (pool.lua). The higher the fee (base units), the lower they sort."""
    return f"{MAX_AMOUNT - fee:064x}"


def fee_of(member: bytes) -> int:
    """The fee in an order member, base units."""
    return MAX_AMOUNT - int(member[:64], 16)


def id_of(member: bytes) -> str:
    """The transaction id in an order member."""
    return member[-64:].decode()


def encode_account(account: Account) -> str:
    """`balance:nonce`; "" for an account without balance and nonce, which is not stored."""
    return "" if account == NO_ACCOUNT else f"{account.balance}:{account.nonce}"


def decode_account(value: bytes | None) -> Account:
    """Raises: Damaged."""
    if not value:
        return NO_ACCOUNT
    balance, _, nonce = value.partition(b":")
    try:
        return Account(int(balance), int(nonce))
    except ValueError:
        raise Damaged("An account of the store cannot be read; quarry chain verify names it.") from None


def decode_allowance(value: bytes | None) -> int:
    """Raises: Damaged."""
    try:
        return int(value or 0)
    except ValueError:
        raise Damaged("An allowance of the store cannot be read; quarry chain verify names it.") from None


def allowance_field(key: AllowanceKey) -> str:
    return f"{key[0]}:{key[1]}"


def encode_entries(entries: Entries) -> str:
    """JSON of an undo record. It ends with a check of the text before it, since nothing else reveals a flipped bit."""
    text = json.dumps(
        {
            "accounts": {address: encode_account(account) for address, account in entries.accounts.items()},
            "allowances": {allowance_field(key): str(amount) for key, amount in entries.allowances.items()},
            "supply": str(entries.supply),
        },
        separators=(",", ":"),
    )
    return f'{text[:-1]},"check":"{_check(text.encode())}"}}'


def require_whole(text: bytes) -> bytes:
    """Return an undo record if its check fits, or if it has none: older releases wrote none.

    Raises:
        Damaged
    """
    body, mark, check = text.rpartition(_CHECK)
    if mark and check != b'%s"}' % _check(body + b"}").encode():
        raise Damaged("The undo record of a block is damaged; quarry chain verify names it.")
    return text


def decode_entries(text: bytes) -> Entries:
    """Raises: Damaged."""
    try:
        value = json.loads(require_whole(text))
        return Entries(
            {address: decode_account(item.encode()) for address, item in value["accounts"].items()},
            {_allowance_key(field): int(amount) for field, amount in value["allowances"].items()},
            int(value["supply"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged("The undo record of a block cannot be read; quarry chain verify names it.") from None


def _check(text: bytes) -> str:
    return sha256(text).hex()[:16]


def _allowance_key(field: str) -> AllowanceKey:
    owner, _, spender = field.partition(":")
    return owner, spender


def encode_header(block: Block, chainwork: int) -> str:
    return json.dumps(
        {
            **block.header.to_object(),
            "hash": block.hash,
            "chainwork": str(chainwork),
            "size": block.size,
            "transactions": len(block.transactions),
        },
        separators=(",", ":"),
    )


def decode_header(text: bytes) -> StoredHeader:
    """Raises: Damaged."""
    try:
        value: dict[str, Any] = json.loads(text)
        chainwork, size, transactions = value.pop("chainwork"), value.pop("size"), value.pop("transactions")
        return StoredHeader(Header(**value), int(chainwork), size, transactions)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged("The header of a block cannot be read; quarry chain verify names it.") from None


def decode_tip(fields: Mapping[bytes, bytes]) -> Tip:
    """Raises: NotBegun, Damaged."""
    if not fields:
        raise NotBegun
    try:
        return _tip(fields)
    except (ValueError, KeyError):
        raise Damaged("The tip of the store cannot be read; quarry repair writes it anew from the blocks.") from None


def _tip(fields: Mapping[bytes, bytes]) -> Tip:
    return Tip(
        hash=fields[b"hash"].decode(),
        height=int(fields[b"height"]),
        chainwork=int(fields[b"chainwork"]),
        supply=int(fields[b"supply"]),
        timestamp=json.loads(fields[b"timestamp"]),
        digest=fields.get(b"digest", b"").decode(),
        times=BlockTimes.read(fields),
    )
