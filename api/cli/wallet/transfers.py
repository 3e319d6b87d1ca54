"""Signing and sending a transfer, and waiting for its block: what `send`, `faucet`, `tx` and `anchor` share."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from api.cli import terminal
from api.cli.client import NodeClient, Refused
from api.cli.group import INTERRUPTED, USAGE, Failure, Unreachable
from api.cli.options import Target
from api.cli.progress import line
from api.cli.usage import no_amount
from services.wallet.signers import Signer
from shared.amounts import format_amount, parse_amount
from shared.errors import InputError
from shared.hashing import is_hash
from shared.rules import rules_for
from shared.transaction import read_transaction

_ATTEMPTS = 3
_PAUSE = 1.0  # seconds

Command = TypeVar("Command", bound=Callable[..., Any])


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
    """Sign a transfer and send it to the node; the signed transaction with its id and the node's message.

    Args:
        amount, fee: base units; None for the lowest fee that the node accepts.
        nonce: None for the next free one.
        data: a text that the transaction carries.

    Raises:
        Failure: the chain has no signed transactions; or Ctrl-C, and the node may have the transaction.
        Refused: the node refuses it.
        Unreachable: the node gave no answer, and may have the transaction.
    """
    spec = client.spec()
    if not rules_for(spec).has_accounts:
        raise Failure("The transactions of this node's chain are not signed, so a wallet cannot send on it.")
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
    identifier = read_transaction(signed).id  # computed here, since the node could name another transaction
    try:
        answer = _submit(client, signed, identifier)
    except KeyboardInterrupt:
        raise Failure(
            "Interrupted; the node may have the transaction. Before you send again, check with "
            f"`quarry tx {identifier}`.",
            INTERRUPTED,
        ) from None
    except Refused as error:
        if error.code != "insufficient_funds":
            raise
        has = client.account(signer.address)["balance"]
        takes = format_amount(amount + parse_amount(unsigned["fee"], field="fee"))
        raise Failure(
            f"The sender has {has} {spec.token.symbol}, and this payment takes {takes} with its fee; payments of the "
            "sender that still wait count too (insufficient_funds)."
        ) from None
    return {**signed, "id": identifier, "message": answer["message"]}


def _submit(client: NodeClient, signed: dict[str, Any], identifier: str) -> dict[str, Any]:
    """Send a signed transaction, again if no answer comes: a node takes the same transaction only once.

    Signing again would use another nonce and could pay twice, so the error names this transaction.
    """
    for _ in range(_ATTEMPTS):
        try:
            answer: dict[str, Any] = client.once_the_store_answers(lambda: client.post("/transactions/new", signed))
            return answer
        except Unreachable:
            time.sleep(_PAUSE)
        except Refused as error:
            if not error.is_of_the_store:
                raise
            break
    raise Unreachable(
        f"The node at {client.url} does not answer; it may have the transaction. Before you send again, check with "
        f"`quarry tx {identifier}`."
    )


def wait_options(command: Command) -> Command:
    """The options --wait and --timeout."""
    seconds = click.FloatRange(0, 86400)
    text = "How many seconds --wait waits."
    command = click.option("--timeout", default=60.0, show_default=True, type=seconds, help=text)(command)
    return click.option("--wait", is_flag=True, help="Wait until a block holds the transaction.")(command)


def show_its_block(target: Target, identifier: str, seconds: float) -> None:
    """Wait for the block of a transaction that was sent, and print it. Raises as `until_mined`."""
    target.tell(identifier)  # before the wait: the transaction is sent, however the wait ends
    with line(quiet=target.as_json) as say:
        say("waiting for its block; Ctrl-C ends the wait, and the transaction stays sent")
        found = until_mined(target.client, identifier, seconds)
    if target.as_json:
        target.show(found)
    else:
        target.note(f"is in block {found['index']}, {found['block']}")


def until_mined(client: NodeClient, identifier: str, seconds: float, remedy: str = "") -> dict[str, Any]:
    """The transaction once a block holds it. Every error names the transaction, which was sent already.

    Args:
        seconds: how long to wait.
        remedy: a sentence that says how to go on; each error ends with it.

    Raises:
        Failure: as `NodeClient.transaction_until_mined`; or Ctrl-C.
    """
    try:
        return client.transaction_until_mined(identifier, seconds, terminal.say)
    except KeyboardInterrupt:
        what = f"Interrupted. The transaction {identifier} was sent and waits to be mined."
        raise Failure(f"{what} {remedy}".strip(), INTERRUPTED) from None
    except Failure as error:
        named = identifier in error.message
        what = error.message if named else f"{error.message} The transaction {identifier} was sent."
        raise Failure(f"{what} {remedy}".strip(), error.exit_code) from None


def amount_units(text: str, name: str) -> int:
    """The base units of an amount in coins that a user types.

    Args:
        name: of the option or argument, for the message.

    Raises:
        Failure: it is not an amount; exit code 2.
    """
    try:
        return parse_amount(text, field=name)
    except InputError:
        raise Failure(no_amount(name, text), USAGE) from None


def transaction_id(text: str) -> str:
    """A transaction's id as a user types it, in its normal form: lower case, without 0x.

    Raises:
        Failure: it is not an id; exit code 2.
    """
    identifier = text.lower().removeprefix("0x")
    if not is_hash(identifier):
        raise Failure("A transaction id is 64 hexadecimal digits.", USAGE)
    return identifier
