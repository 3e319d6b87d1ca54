"""`quarry balance`: the coins of wallets and addresses."""

from collections.abc import Sequence
from typing import Any

import click

from api.cli.options import Target, running_node, with_node
from api.cli.progress import bar
from api.cli.table import Column, table
from api.cli.wallet import wallet_store
from api.cli.wallet.names import Names, development_addresses
from api.cli.wallet.wallet_arguments import complete_wallets

_MANY = 50  # accounts from which on a progress bar is shown


@click.command()
@with_node
@click.argument("owners", metavar="[NAME|ADDRESS]...", nargs=-1, shell_complete=complete_wallets)
def balance(target: Target, owners: tuple[str, ...]) -> None:
    """Show the balances of wallets and addresses. [default: all wallets on this machine]

    `node` is the wallet of the node, and account0, account1 and so on are its development accounts.
    """
    url = target.client.url
    asked = owners or tuple(wallet_store.all_names(url))
    if not asked:
        target.show([], "There are no wallets yet; `quarry wallet new NAME` makes one.")
        return
    names = Names(url)
    addresses = _addresses(asked, url)
    symbol = target.client.spec().token.symbol
    accounts = {}
    with bar("accounts", quiet=target.as_json or len(addresses) < _MANY) as advance:
        for address in dict.fromkeys(addresses.values()):
            accounts[address] = target.client.account(address)
            advance(len(accounts), len(addresses))
    found = [
        {**accounts[address], "name": names.of(address) or accounts[address].get("name")}  # or as the node calls it
        for address in dict.fromkeys(addresses.values())
    ]
    target.show(found, *table(_COLUMNS, [_row(account, symbol) for account in found]))


def _addresses(owners: Sequence[str], url: str) -> dict[str, str]:
    """By name or address as it was given, each owner's address.

    A node may have a thousand development accounts, so all are derived at once.
    """
    here = running_node(url)
    known: dict[str, str] = {}
    if here is not None and len(owners) > 1:
        free = set(wallet_store.account_names(url))  # a wallet may have the name of an account
        found = development_addresses(here[1].development_accounts, here[1].mnemonic_file)
        known = {name: address for number, address in enumerate(found) if (name := f"account{number}") in free}
    return {owner: known.get(owner) or wallet_store.address(owner, url) for owner in owners}


_COLUMNS = (
    Column("NAME", least=6),
    Column("ADDRESS"),
    Column("BALANCE", right=True),
    Column("NONCE", right=True, extra=True),
    Column("WAITING", right=True, extra=True),
)


def _row(account: dict[str, Any], symbol: str) -> list[str]:
    nonce, pending = account["nonce"], account["pending_nonce"]
    return [
        account["name"] or "-",
        account["address"],
        f"{account['balance']} {symbol}",
        str(nonce),
        str(max(0, pending - nonce)),
    ]
