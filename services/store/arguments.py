"""A block and its change as arguments of the scripts: lists of names and values."""

from collections.abc import Iterable
from typing import Any

from services.store.records import allowance_field, encode_account
from shared.addresses import is_address
from shared.block import Block
from shared.ledger import Change, Entries
from shared.transaction import Transaction


def ledger_lists(entries: Entries) -> list[list[Any]]:
    """Accounts and allowances as append.lua takes them."""
    accounts: list[Any] = []
    for address, account in entries.accounts.items():
        accounts += [address, encode_account(account)]
    allowances: list[Any] = []
    for key, amount in entries.allowances.items():
        allowances += [allowance_field(key), amount or ""]
    return [accounts, allowances]


def index_lists(block: Block) -> list[list[Any]]:
    """Transaction index and address history as append.lua takes them."""
    index: list[Any] = []
    histories: dict[str, list[str]] = {}
    for position, transaction in enumerate(block.transactions):
        place = f"{block.index}:{position}"
        index += [bytes.fromhex(transaction.id), place]
        for address in named_addresses(transaction):
            histories.setdefault(address, []).append(place)
    return [index, [item for address, places in histories.items() for item in (address, " ".join(places))]]


def named_addresses(transaction: Transaction) -> Iterable[str]:
    """The addresses whose history a transaction belongs to, each once."""
    names = [transaction.fields.get(role) for role in ("sender", "recipient", "owner")]
    return dict.fromkeys(name for name in names if isinstance(name, str) and is_address(name))


def nonce_list(change: Change) -> list[Any]:
    """Senders and their nonces before and after, as append.lua takes them."""
    values: list[Any] = []
    for address, account in change.after.accounts.items():
        before = change.before.accounts[address].nonce
        if account.nonce > before:
            values += [address, before, account.nonce]
    return values
