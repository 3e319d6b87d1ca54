"""`quarry send` and `quarry tx`."""

import json
import time
from typing import Any

import click

from api.cli.client import NodeClient, Refused
from api.cli.group import INTERRUPTED, USAGE, Failure, Unreachable
from api.cli.options import Target, with_node
from api.cli.wallet import walletstore
from services.wallet.signers import Signer
from shared.amounts import format_amount, parse_amount
from shared.rules import rules_for
from shared.transaction import read_transaction

_ATTEMPTS = 3
_PAUSE = 1.0  # seconds
_HASH_DIGITS = 64


def submit_transfer(
    client: NodeClient,
    signer: Signer,
    recipient: str,
    amount: int,
    *,
    fee: int | None = None,
    nonce: int | None = None,
    data: str | None = None,
) -> dict[str, Any]:
    """Sign a transfer and hand it to the node; the signed transaction with its id.

    Args:
        amount, fee: base units; no fee means the least that the node takes.
        nonce: None for the first that is free.
    """
    spec = client.spec()
    if not rules_for(spec).has_accounts:
        raise Failure("This node's chain follows the tutorial's rules: it has no signed transactions.")
    if fee is None:
        fee = parse_amount(client.get("/status")["min_fee"], field="min_fee")
    if nonce is None:
        nonce = int(client.account(signer.address)["pending_nonce"])
    unsigned: dict[str, Any] = {
        "type": "transfer",
        "chain_id": spec.chain_id,
        "nonce": nonce,
        "sender": signer.address,
        "recipient": recipient,
        "amount": format_amount(amount),
        "fee": format_amount(signer.payable_fee(fee)),
    }
    if data is not None:
        unsigned["data"] = data
    signed = signer.sign(unsigned, spec)
    identifier = read_transaction(signed).id  # by our own calculation: a node could name another
    try:
        answer = _submit(client, signed, identifier)
    except KeyboardInterrupt:
        raise Failure(
            f"Interrupted; the node may have taken the transaction: look with `quarry tx {identifier}` before sending "
            "again.",
            INTERRUPTED,
        ) from None
    return {**signed, "id": identifier, "message": answer["message"]}


def until_mined(client: NodeClient, identifier: str, seconds: float, remedy: str = "") -> dict[str, Any]:
    """The transaction once it is in a block. It is sent already: whatever ends the wait, the error names it.

    Args:
        remedy: a sentence that follows it: how to go on.

    Raises:
        Failure: as `NodeClient.transaction_until_mined`.
    """
    try:
        return client.transaction_until_mined(identifier, seconds)
    except KeyboardInterrupt:
        what = f"Interrupted while the transaction {identifier} waits to be mined; it is sent."
        raise Failure(f"{what} {remedy}".strip(), INTERRUPTED) from None
    except Failure as error:
        named = identifier in error.message
        what = error.message if named else f"{error.message} The transaction {identifier} is sent."
        raise Failure(f"{what} {remedy}".strip(), error.exit_code) from None


def _submit(client: NodeClient, signed: dict[str, Any], identifier: str) -> dict[str, Any]:
    """Hand a signed transaction to the node; again, if the answer was lost: repeating the same one is harmless.

    Sending anew would not be: a fresh nonce pays twice. So the error names the transaction.
    """
    for _ in range(_ATTEMPTS):
        try:
            answer: dict[str, Any] = client.post("/transactions/new", signed)
            return answer
        except Unreachable:
            time.sleep(_PAUSE)
        except Refused as error:
            if error.code != "store_unavailable":
                raise
            time.sleep(_PAUSE)
    raise Unreachable(
        f"The node at {client.url} does not answer, and may have taken the transaction: look with `quarry tx "
        f"{identifier}` before sending again."
    )


@click.command()
@with_node
@click.option("--from", "sender", required=True, help="The wallet that pays: its name, or `node`.")
@click.option("--to", "recipient", required=True, help="An address, or the name of a wallet.")
@click.argument("amount")
@click.option("--fee", help="What the miner gets. [default: the least that the node takes]")
@click.option("--data", help="Text to go with it (Ed25519 wallets).")
@click.option("--nonce", type=click.IntRange(0), help="The account nonce. [default: the next that is free]")
@click.option("--wait", is_flag=True, help="Wait until it is in a block.")
@click.option("--timeout", default=60.0, show_default=True, type=click.FloatRange(0, 86400), help="Seconds for --wait.")
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
    units = _amount(amount, "AMOUNT")
    fee_units = None if fee is None else _amount(fee, "--fee")
    if data == "":
        raise Failure("--data must not be empty.", USAGE)
    to = walletstore.address(recipient)
    rules_for(target.client.spec()).check_payee(to, field="--to")  # before anybody types a passphrase
    sent = submit_transfer(
        target.client, walletstore.open_wallet(sender), to, units, fee=fee_units, nonce=nonce, data=data
    )
    if not wait:
        target.show(sent, sent["message"], sent["id"])
        return
    target.tell(sent["id"])  # before the wait: whatever happens then, it is sent
    found = until_mined(target.client, sent["id"], timeout)
    if target.as_json:
        target.show(found)
    else:
        target.note(f"is in block {found['index']}, {found['block']}")


@click.command()
@with_node
@click.argument("identifier", metavar="ID")
def tx(target: Target, identifier: str) -> None:
    """Look up a transaction by its id."""
    identifier = transaction_id(identifier)
    found = target.client.find(f"/transactions/{identifier}")
    if found is None:
        raise Failure("The node knows of no transaction with this id.")
    target.show(found, *(f"{name:14}{_text(value)}" for name, value in found.items()))


def transaction_id(text: str) -> str:
    """An id as people give it, in its normal form.

    Raises:
        Failure: it is none.
    """
    identifier = text.lower().removeprefix("0x")
    if len(identifier) != _HASH_DIGITS or set(identifier) - set("0123456789abcdef"):
        raise Failure("A transaction's id is 64 hexadecimal digits.", USAGE)
    return identifier


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _amount(text: str, name: str) -> int:
    from shared.errors import InputError

    try:
        return parse_amount(text, field=name)
    except InputError as error:
        raise Failure(error.message, USAGE) from None
