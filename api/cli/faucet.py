"""`quarry faucet`."""

import click

from api.cli import walletstore
from api.cli.options import Target, with_node


@click.command()
@with_node
@click.argument("recipient", metavar="ADDRESS|WALLET")
@click.option("--wait", is_flag=True, help="Wait until it is in a block.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds for --wait.")
def faucet(target: Target, recipient: str, wait: bool, timeout: float) -> None:
    """Get ten coins of a development chain."""
    sent = target.client.post("/faucet", {"address": walletstore.address(recipient)})
    if not wait:
        target.show(sent, f"{sent['amount']} coins are on their way.", sent["id"])
        return
    found = target.client.transaction_until_mined(sent["id"], timeout)
    target.show(found, f"{found['id']}\nis in block {found['index']}, {found['block']}")
