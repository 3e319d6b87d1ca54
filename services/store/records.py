"""How ledger entries, headers and positions are written in Redis: one place for both directions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.errors import NotBegun
from shared.block import Block, Header
from shared.forkchoice import TipClaim
from shared.ledger import NO_ACCOUNT, Account, AllowanceKey, Entries


@dataclass(frozen=True, slots=True)
class Tip:
    """The last block of the chain and the totals behind it."""

    hash: str
    height: int
    chainwork: int
    supply: int  # base units
    timestamp: int | float  # Unix seconds

    @property
    def claim(self) -> TipClaim:
        return TipClaim(self.chainwork, self.hash)


@dataclass(frozen=True, slots=True)
class StoredHeader:
    """A header, and what is known of its block without reading it."""

    header: Header
    chainwork: int
    size: int  # canonical bytes of the block
    transactions: int  # how many, the reward included


def encode_account(account: Account) -> str:
    """`balance:nonce`; empty for an account that is as if it never was."""
    return "" if account == NO_ACCOUNT else f"{account.balance}:{account.nonce}"


def decode_account(value: bytes | None) -> Account:
    if not value:
        return NO_ACCOUNT
    balance, _, nonce = value.partition(b":")
    return Account(int(balance), int(nonce))


def allowance_field(key: AllowanceKey) -> str:
    return f"{key[0]}:{key[1]}"


def encode_entries(entries: Entries) -> str:
    """JSON of a delta or an undo record."""
    return json.dumps(
        {
            "accounts": {address: encode_account(account) for address, account in entries.accounts.items()},
            "allowances": {allowance_field(key): str(amount) for key, amount in entries.allowances.items()},
            "supply": str(entries.supply),
        },
        separators=(",", ":"),
    )


def decode_entries(text: bytes) -> Entries:
    value = json.loads(text)
    return Entries(
        {address: decode_account(item.encode()) for address, item in value["accounts"].items()},
        {_allowance_key(field): int(amount) for field, amount in value["allowances"].items()},
        int(value["supply"]),
    )


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
    value: dict[str, Any] = json.loads(text)
    chainwork, size, transactions = value.pop("chainwork"), value.pop("size"), value.pop("transactions")
    return StoredHeader(Header(**value), int(chainwork), size, transactions)


def decode_tip(fields: Mapping[bytes, bytes]) -> Tip:
    """Raises: NotBegun."""
    if not fields:
        raise NotBegun
    return Tip(
        hash=fields[b"hash"].decode(),
        height=int(fields[b"height"]),
        chainwork=int(fields[b"chainwork"]),
        supply=int(fields[b"supply"]),
        timestamp=json.loads(fields[b"timestamp"]),
    )
