"""`quarry names`: the names of addresses on a node's pages."""

from typing import Any

import click

from api.cli.group import USAGE, Failure
from api.cli.options import Target, all_option, with_node
from api.cli.suggestions import Group
from api.cli.table import Column, rest, table, that_fit
from api.cli.wallet.wallet_store import address as address_of

_NONE = "No address has a name; `quarry names add ADDRESS NAME` gives one."


@click.group(cls=Group)
def names() -> None:
    """Name addresses on the node's pages.

    Names are the node's own: they are in no block, and no peer sees them. The node, its development accounts and the
    wallets on its machine have names by themselves.
    """


@names.command("list")
@with_node
@all_option
def show(target: Target, everything: bool) -> None:
    """Show the addresses that have names."""
    found = target.client.get("/names")["names"]
    shown = found[: that_fit(len(found), everything or target.as_json)]
    lines = [*table(_COLUMNS, [_row(item) for item in shown]), *rest(len(shown), len(found))] if found else [_NONE]
    target.show({"names": found}, *lines)


_COLUMNS = (Column("ADDRESS"), Column("NAME", least=12), Column("KIND"))


@names.command("add")
@click.argument("address", metavar="ADDRESS|WALLET")
@click.argument("name")
@with_node
def add(target: Target, address: str, name: str) -> None:
    """Give an address a name, in place of the one that it had. Needs the node's admin token."""
    if not name.strip():
        raise Failure("A name has 1 to 40 visible characters.", USAGE)
    given = target.client.post("/names", {"address": address_of(address, target.client.url), "name": name})
    target.show(given, f"{given['address']} is {given['name']}.")


@names.command("remove")
@click.argument("who", metavar="NAME|ADDRESS")
@with_node
def remove(target: Target, who: str) -> None:
    """Take away a name that was given. Needs the node's admin token."""
    address = who
    if not who.startswith("0x"):
        known = target.client.get("/names")["names"]
        found = [item for item in known if str(item["name"]).casefold() == who.casefold()]
        if not found:
            raise Failure("No address has this name; `quarry names list` shows all names.")
        if found[0]["kind"] != "given":
            raise Failure("The address has this name by itself; `quarry names add` gives it another.")
        address = found[0]["address"]
    left = target.client.delete("/names", {"address": address})
    now = f"is {left['name']} again" if left["name"] else "has no name now"
    target.show(left, f"{left['address']} {now}.")


def _row(item: dict[str, Any]) -> list[str]:
    return [str(item["address"]), str(item["name"]), f"{item['kind']}{', faucet' if item['faucet'] else ''}"]
