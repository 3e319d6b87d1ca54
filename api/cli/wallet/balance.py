"""`quarry balance`: the coins of wallets and addresses."""

from collections.abc import Sequence
from typing import Any

import click

from api.cli.options import Target, all_option, with_node
from api.cli.progress import MANY, bar
from api.cli.table import Column, rest, table, that_fit
from api.cli.wallet import wallet_store
from api.cli.wallet.names import Names
from api.cli.wallet.wallet_arguments import complete_wallets


@click.command()
@with_node
@click.argument("owners", metavar="[NAME|ADDRESS]...", nargs=-1, shell_complete=complete_wallets)
@all_option
def balance(target: Target, owners: tuple[str, ...], everything: bool) -> None:
    """Show the balances of wallets and addresses. [default: all wallets on this machine]

    `node` is the wallet of the node, and account0, account1 and so on are its development accounts.
    """
    url = target.client.url
    every = owners or tuple(wallet_store.all_names(url))
    asked = every[: that_fit(len(every), everything or bool(owners) or target.as_json)]
    if not asked:
        target.show([], "There are no wallets yet; `quarry wallet new NAME` makes one.")
        return
    names = Names(url)
    addresses = _addresses(asked, url)
    symbol = target.client.spec().token.symbol
    accounts = {}
    with bar("accounts", quiet=target.as_json or len(addresses) < MANY) as advance:
        for address in dict.fromkeys(addresses.values()):
            accounts[address] = target.client.account(address)
            advance(len(accounts), len(addresses))
    found = [
        {**accounts[address], "name": names.of(address) or accounts[address].get("name")}  # or as the node calls it
        for address in dict.fromkeys(addresses.values())
    ]
    target.show(found, *table(_COLUMNS, [_row(account, symbol) for account in found]), *rest(len(asked), len(every)))


def _addresses(owners: Sequence[str], url: str) -> dict[str, str]:
    """By name or address as it was given, each owner's address.

    A node may have a thousand development accounts, so all are derived at once.
    """
    known: dict[str, str] = {}
    if len(owners) > 1:
        known = {name: account.address for name, account in wallet_store.accounts_by_name(url, owners).items()}
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
