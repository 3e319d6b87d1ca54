"""`quarry demo`: wallets, payments and blocks on a node that exists only for the demo.

What the node says is compared with a calculation that does not use the node.
"""

import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.chain.verification import verify_chain
from api.cli.client import NodeClient, Refused
from api.cli.group import INTERRUPTED, Failure
from api.cli.node.interruption import Interruption
from api.cli.node.mine import mine_one
from api.cli.node.up import NODE
from services.launch.failures import LaunchFailed
from services.launch.launch import Launch
from services.launch.node_files import node_files
from services.launch.node_plan import NodePlan
from services.system import logs
from services.system.programs import scrub_environment
from services.wallet import keyring
from services.wallet.signers import Ed25519Signer
from shared.amounts import COIN, format_amount, parse_amount
from shared.chain_spec import ChainSpec

_BLOCKS = 3
_SMALL = 20  # small payments that are sent together
_MINED_WITHIN = 30.0  # seconds
_FEE = COIN // 1000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end and nothing else.")
def demo(as_json: bool) -> None:
    """Run a node in a temporary directory, make two wallets, pay, mine, and check every balance and the whole chain."""
    logs.configure("error", "console")
    scrub_environment()
    interruption = Interruption()
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="quarry-demo-") as directory, interruption.may_raise():
            story = _Story(as_json)
            with _node(Path(directory), story) as (client, node):
                summary = _play(client, node, Path(directory), story)
    except LaunchFailed as error:
        for text in error.tail:
            terminal.say(f"  {text}")
        raise
    except KeyboardInterrupt:
        raise Failure("Interrupted; the node was stopped and its directory removed.", INTERRUPTED) from None
    summary["seconds"] = int(time.monotonic() - began)
    story.tell("Stopped the node and removed its directory.")
    if as_json:
        terminal.show_json(summary)
    else:
        terminal.show(f"The demo passed in {summary['seconds']} s.")


class _Story:
    """Prints what the demo does, step by step, unless it is quiet."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def tell(self, text: str) -> None:
        if not self.quiet:
            first, *others = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
            terminal.show(f"- {first}", *(f"  {line}" for line in others))


@dataclass
class _Books:
    """The balance and nonce that each address must have once everything is mined. Amounts are in base units."""

    balances: dict[str, int] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    fees: int = 0

    def transfer(self, sender: str, recipient: str, amount: int) -> None:
        self._add(sender, -amount - _FEE)
        self._add(recipient, amount)
        self.fees += _FEE
        self.nonces[sender] = self.nonces.get(sender, 0) + 1

    def mined(self, recipient: str, blocks: int, reward: int) -> None:
        """Credit the rewards of `blocks` blocks and all fees: one miner found all blocks."""
        self._add(recipient, blocks * reward + self.fees)

    def _add(self, address: str, amount: int) -> None:
        self.balances[address] = self.balances.get(address, 0) + amount


@contextmanager
def _node(directory: Path, story: _Story) -> Iterator[tuple[NodeClient, Ed25519Signer]]:
    files = node_files(directory, "dev", NODE)
    launch = Launch([NodePlan(NODE, files, "dev", port=0, workers=2)])
    try:
        launch.start()
        running = launch.nodes[0]
        story.tell(f"Started a node at {running.url}: Valkey, API, 2 mining workers, network worker, ticker.")
        yield NodeClient(running.url, quiet=story.quiet), Ed25519Signer(keyring.load(files.directory))
    finally:
        launch.stop()


def _play(client: NodeClient, node: Ed25519Signer, directory: Path, story: _Story) -> dict[str, Any]:
    spec = client.spec()
    books = _Books()
    alice, bob = (Ed25519Signer(keyring.create(directory / "wallets" / name)) for name in ("alice", "bob"))
    story.tell(f"Made two wallets: alice {alice.address}, bob {bob.address}.")

    for _ in range(_BLOCKS):
        block = mine_one(client, _MINED_WITHIN)
    story.tell(f"Mined {_BLOCKS} blocks for the node's own wallet; the tip is block {block['index']}.")

    sender = _Sender(client, spec, books)
    identifiers = [sender.transfer(node, alice, 2 * COIN)]
    _await(client, identifiers)
    story.tell("The node's wallet paid alice 2 coins: signed here, sent over HTTP, mined by a worker.")

    identifiers += [sender.transfer(alice, bob, COIN // 100, data=f"payment {number}") for number in range(_SMALL)]
    identifiers.append(sender.transfer(alice, bob, COIN // 2))
    _await(client, identifiers)
    identifiers.append(sender.transfer(bob, alice, COIN // 4))
    _await(client, identifiers)
    story.tell(f"alice paid bob {_SMALL + 1} times, and bob paid a part back.")

    _expect_refusals(sender, alice, bob)
    story.tell("The node refused an overdraft, an altered amount and a used nonce, each with the right code.")

    verified = verify_chain(client, spec, lambda done, total: None)
    tip = verified.replay.tip
    assert tip is not None, "a verified chain has a genesis block"
    books.mined(node.address, tip.index - 1, spec.reward)
    for name, signer in (("node", node), ("alice", alice), ("bob", bob)):
        expected, nonce = books.balances[signer.address], books.nonces.get(signer.address, 0)
        account = client.account(signer.address)
        replayed = verified.replay.accounts[signer.address]
        _require(parse_amount(account["balance"]) == expected, f"{name} has {account['balance']} at the node", expected)
        _require(replayed.balance == expected, f"{name} has {format_amount(replayed.balance)} in the replay", expected)
        _require(account["nonce"] == nonce == replayed.nonce, f"{name}'s nonce is {account['nonce']}", nonce * COIN)
    story.tell(
        "Balances are as calculated: "
        + ", ".join(
            f"{name} {format_amount(books.balances[signer.address])}"
            for name, signer in (("node", node), ("alice", alice), ("bob", bob))
        )
        + "."
    )
    supply = sum(spec.allocations.values()) + (tip.index - 1) * spec.reward
    _require(verified.replay.supply == supply, f"the supply is {format_amount(verified.replay.supply)}", supply)
    story.tell(
        f"Replayed the chain from genesis: {tip.index} blocks, {verified.transactions} transactions. Every hash, "
        f"proof, root, signature and rule was checked; the supply is {format_amount(supply)}."
    )
    return {"ok": True, "height": tip.index, "tip": tip.hash, "transactions": len(identifiers)}


class _Sender:
    """Signs transfers, sends them to the node, and notes them in the books."""

    def __init__(self, client: NodeClient, spec: ChainSpec, books: _Books) -> None:
        self.client = client
        self.spec = spec
        self._books = books

    def transfer(self, sender: Ed25519Signer, recipient: Ed25519Signer, amount: int, *, data: str | None = None) -> str:
        """Send a transfer; the transaction's id."""
        signed = self.signed(sender, recipient, amount, self._books.nonces.get(sender.address, 0), data)
        answer = self.client.post("/transactions/new", signed)
        self._books.transfer(sender.address, recipient.address, amount)
        return str(answer["id"])

    def signed(
        self, sender: Ed25519Signer, recipient: Ed25519Signer, amount: int, nonce: int, data: str | None = None
    ) -> dict[str, Any]:
        unsigned: dict[str, Any] = {
            "type": "transfer",
            "chain_id": self.spec.chain_id,
            "nonce": nonce,
            "sender": sender.address,
            "recipient": recipient.address,
            "amount": format_amount(amount),
            "fee": format_amount(_FEE),
        }
        return sender.sign(unsigned if data is None else {**unsigned, "data": data}, self.spec)


def _expect_refusals(sender: _Sender, alice: Ed25519Signer, bob: Ed25519Signer) -> None:
    nonce = int(sender.client.account(alice.address)["pending_nonce"])
    altered = sender.signed(alice, bob, COIN, nonce) | {"amount": "1.5"}
    for code, signed in (
        ("insufficient_funds", sender.signed(alice, bob, 1000 * COIN, nonce)),
        ("bad_signature", altered),
        ("nonce_too_low", sender.signed(alice, bob, COIN, 0)),
    ):
        try:
            sender.client.post("/transactions/new", signed)
        except Refused as error:
            if error.code != code:
                raise Failure(f"The demo failed: the node refused with {error.code} instead of {code}.") from None
        else:
            raise Failure(f"The demo failed: the node accepted what it must refuse with {code}.")


def _await(client: NodeClient, identifiers: list[str]) -> None:
    deadline = time.monotonic() + _MINED_WITHIN
    for identifier in identifiers:
        client.transaction_until_mined(identifier, max(0.0, deadline - time.monotonic()))


def _require(condition: bool, found: str, expected: int) -> None:
    if not condition:
        raise Failure(f"The demo failed: {found}; expected was {format_amount(expected)}.")
