"""`quarry send`: a payment from a wallet."""

import click

from api.cli import terminal
from api.cli.group import USAGE, Failure
from api.cli.options import Target, with_node
from api.cli.wallet import wallet_store
from api.cli.wallet.transfers import amount_units, show_its_block, submit_transfer, wait_options
from api.cli.wallet.wallet_arguments import complete_wallets
from shared.rules import rules_for


@click.command()
@with_node
@click.option(
    "--from",
    "sender",
    metavar="WALLET",
    required=True,
    help="The wallet that pays: its name, `node`, or `account0` …",
    shell_complete=complete_wallets,
)
@click.option(
    "--to",
    "recipient",
    metavar="ADDRESS|WALLET",
    required=True,
    help="An address, or the name of a wallet.",
    shell_complete=complete_wallets,
)
@click.argument("amount")
@click.option("--fee", help="The miner's fee, in coins. [default: the lowest that the node accepts]")
@click.option("--data", help="A text to store with the payment (Ed25519 wallets only).")
@click.option("--nonce", type=click.IntRange(0), help="The account nonce. [default: the next free one]")
@wait_options
def send(
    target: Target,
    sender: str,
    recipient: str,
    amount: str,
    fee: str | None,
    data: str | None,
    nonce: int | None,
    wait: bool,
    timeout: float,
) -> None:
    """Send AMOUNT coins, such as 5 or 0.25."""
    units = amount_units(amount, "AMOUNT")
    fee_units = None if fee is None else amount_units(fee, "--fee")
    if data == "":
        raise Failure("--data must not be empty; leave the option out to send no text.", USAGE)
    url = target.client.url
    to = wallet_store.address(recipient, url)
    rules_for(target.client.spec()).check_payee(to, field="--to")  # before a passphrase has to be typed
    signer = wallet_store.open_wallet(sender, url)
    if signer.address == to and not target.as_json:
        terminal.say("The sender pays itself: the fee is all that it loses.")
    sent = submit_transfer(target.client, signer, to, units, fee=fee_units, nonce=nonce, data=data)
    if wait:
        show_its_block(target, sent["id"], timeout)
    else:
        target.show(sent, sent["message"], sent["id"])
