"""`quarry wallet`: keys on this machine. Nothing here talks to a node."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from api.cli import walletstore
from api.cli.group import USAGE, Failure
from api.cli.options import json_option, running_node
from services import keyring

_MAX_INPUT = 65_536


@click.group()
def wallet() -> None:
    """Make, list, show and import wallets, and sign with them.

    A wallet is a directory with private.key, public.key and certificate.pem. The name `node` stands for the key of the
    node that runs here.
    """


@wallet.command()
@click.argument("name")
@click.option("--passphrase", is_flag=True, help="Encrypt the private key (asked for, or QUARRY_PASSPHRASE).")
@json_option
def new(name: str, passphrase: bool, as_json: bool) -> None:
    """Make a wallet with a fresh Ed25519 key."""
    directory = walletstore.new_wallet_directory(name)
    keyring.create(directory, walletstore.new_passphrase() if passphrase else None)
    _show(name, directory, as_json)


@wallet.command(name="list")
@json_option
def list_wallets(as_json: bool) -> None:
    """List the wallets."""
    names = walletstore.wallet_names()
    if running_node() is not None:
        names.append(walletstore.NODE)
    found = [_describe(name, walletstore.wallet_directory(name)) for name in names]
    if as_json:
        click.echo(json.dumps(found))
    elif not found:
        click.echo("There are no wallets yet; `quarry wallet new NAME` makes one.")
    for item in [] if as_json else found:
        click.echo(f"{item['address']}  {item['scheme']:8}  {item['name']}")


@wallet.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a wallet's address, public key and files; never its private key."""
    _show(name, walletstore.wallet_directory(name), as_json)


@wallet.command(name="import")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--name", help="What to call it. [default: the file's name]")
@click.option("--scheme", type=click.Choice(["ed25519", "ethereum"]), default="ed25519", show_default=True)
@click.option("--passphrase", is_flag=True, help="Encrypt the copy (asked for, or QUARRY_PASSPHRASE).")
@json_option
def import_wallet(file: Path, name: str | None, scheme: str, passphrase: bool, as_json: bool) -> None:
    """Make a wallet of an existing private key: a PEM file as OpenSSL writes it (Ed25519 or secp256k1, mode 0600).

    With --scheme ethereum FILE holds 64 hexadecimal digits, as Ethereum's wallets export them (mode 0600);
    - asks for them, or reads standard input.
    """
    if name is None and str(file) == "-":
        raise Failure("Say what to call the wallet: --name NAME.", USAGE)
    name = name if name is not None else file.stem
    directory = walletstore.new_wallet_directory(name)
    if scheme == "ethereum" or str(file) == "-":
        if scheme != "ethereum":
            raise Failure("Only keys of --scheme ethereum can be typed in; give the PEM file.", USAGE)
        secret = _hexadecimal_key(file)
        keyring.store_ethereum(directory, secret, walletstore.new_passphrase() if passphrase else None)
    else:
        _import_pem(file, directory, passphrase)
    _show(name, directory, as_json)


@wallet.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--from", "sender", required=True, help="The wallet that signs.")
@click.option("--spec", default="dev", show_default=True, metavar="NAME|FILE", help="The chain it is for.")
def sign(file: Path, sender: str, spec: str) -> None:
    """Sign the transaction that FILE (- for standard input) holds as JSON, and print it for POST /transactions/new.

    Fields: type, chain_id, nonce, recipient, amount, fee, and where used owner and data. The sender is the wallet's.
    """
    from services.settings import load_spec
    from shared import wire
    from shared.transaction import normalise, read_transaction

    chain = load_spec(spec)
    fields = normalise(wire.parse(_read(file)))
    for name in ("scheme", "signature", "public_key"):
        if name in fields:
            raise Failure(f"The transaction has a {name} already.")
    signer = walletstore.open_wallet(sender)
    if fields.setdefault("sender", signer.address) != signer.address:
        raise Failure("The transaction's sender is not this wallet.")
    if fields.setdefault("chain_id", chain.chain_id) != chain.chain_id:
        raise Failure(f"The transaction is for another chain than {chain.name} ({chain.chain_id}); see --spec.")
    missing = {"type", "nonce", "recipient", "amount", "fee"} - fields.keys()
    if missing:
        raise Failure(f"The transaction lacks {min(missing)}.")
    signed = signer.sign(fields, chain)
    read_transaction(signed)  # what a node would refuse is refused here
    click.echo(json.dumps(signed))


def _import_pem(file: Path, directory: Path, passphrase: bool) -> None:
    from services.signers import Ed25519Signer, EthereumSigner

    old = None
    if keyring.is_encrypted(file):
        old = walletstore.passphrase_of(str(file))
    signer = keyring.load_signer(file, old)
    new_one = walletstore.new_passphrase() if passphrase else None
    if isinstance(signer, Ed25519Signer):
        keyring.store(directory, signer.key.seed, new_one)
    elif isinstance(signer, EthereumSigner):
        keyring.store_ethereum(directory, signer.private_key, new_one)


def _hexadecimal_key(file: Path) -> bytes:
    if str(file) == "-" and sys.stdin.isatty():
        text = str(click.prompt("Private key (64 hexadecimal digits)", hide_input=True, err=True))
    else:
        if str(file) != "-":
            keyring.require_private(file)
        text = _read(file).decode("ascii", errors="replace")
    digits = text.strip().removeprefix("0x")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != 32 or len(digits) != 64:
        raise Failure("An Ethereum private key is 64 hexadecimal digits.")
    return key


def _read(file: Path) -> bytes:
    if str(file) == "-":
        content = sys.stdin.buffer.read(_MAX_INPUT + 1)
    else:
        with file.open("rb") as opened:
            content = opened.read(_MAX_INPUT + 1)
    if len(content) > _MAX_INPUT:
        raise Failure("The input is too large.")
    return content


def _describe(name: str, directory: Path) -> dict[str, Any]:
    encrypted = keyring.is_encrypted(directory)
    return {"name": name, **keyring.describe(directory), "encrypted": encrypted, "directory": str(directory)}


def _show(name: str, directory: Path, as_json: bool) -> None:
    found = _describe(name, directory)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['name']}: {found['address']}")
    click.echo(f"  scheme      {found['scheme']}{', encrypted' if found['encrypted'] else ''}")
    click.echo(f"  public key  {found['public_key']}")
    click.echo(f"  files       {found['directory']}")
