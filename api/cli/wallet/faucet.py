"""`quarry faucet`."""

import click

from api.cli.options import Target, with_node
from api.cli.wallet import wallet_store
from api.cli.wallet.transfers import transaction_id, until_mined


@click.command()
@with_node
@click.argument("recipient", metavar="ADDRESS|WALLET")
@click.option("--wait", is_flag=True, help="Wait until it is in a block.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds for --wait.")
def faucet(target: Target, recipient: str, wait: bool, timeout: float) -> None:
    """Get ten coins of a development chain."""
    sent = target.client.post("/faucet", {"address": wallet_store.address(recipient)})
    identifier = transaction_id(str(sent["id"]))
    if not wait:
        target.show(sent, f"{sent['amount']} coins are on their way.", identifier)
        return
    target.tell(identifier)
    found = until_mined(target.client, identifier, timeout)
    if target.as_json:
        target.show(found)
    else:
        target.note(f"is in block {found['index']}, {found['block']}")
