"""`quarry faucet`: coins of a development chain."""

import click

from api.cli.options import Target, with_node
from api.cli.wallet import wallet_store
from api.cli.wallet.names import Names
from api.cli.wallet.transfers import show_its_block, transaction_id, wait_options
from api.cli.wallet.wallet_arguments import complete_wallets


@click.command()
@with_node
@click.argument("recipient", metavar="ADDRESS|WALLET", shell_complete=complete_wallets)
@wait_options
def faucet(target: Target, recipient: str, wait: bool, timeout: float) -> None:
    """Get ten coins from the faucet of a development chain."""
    address = wallet_store.address(recipient, target.client.url)
    sent = target.client.post("/faucet", {"address": address})
    identifier = transaction_id(str(sent["id"]))
    if wait:
        show_its_block(target, identifier, timeout)
    else:
        names = Names(target.client.url)
        target.show(sent, f"{sent['amount']} coins are on their way to {names.beside(address)}.", identifier)
