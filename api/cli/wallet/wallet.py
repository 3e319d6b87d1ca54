"""`quarry wallet`: keys on this machine. These commands send nothing to a node; `list` and `show` ask for balances."""

from pathlib import Path
from typing import Any

import click

from api.cli import terminal
from api.cli.group import USAGE, Failure, Unreachable
from api.cli.options import all_option, connect, json_option, running_node, url_option
from api.cli.progress import MANY, bar
from api.cli.suggestions import Group
from api.cli.table import Column, rest, table, that_fit
from api.cli.wallet import secret_input, wallet_store
from api.cli.wallet.accounts import accounts
from api.cli.wallet.wallet_arguments import complete_own_wallets, complete_wallets
from services.wallet import keyring


@click.group(cls=Group)
def wallet() -> None:
    """Make, list, show, import and export wallets, and sign with them.

    A wallet is a directory with private.key, public.key and certificate.pem. The name `node` means the key of the node
    that runs on this machine, and account0, account1 … its development accounts.
    """


wallet.add_command(accounts)


@wallet.command()
@click.argument("name")
@click.option("--scheme", type=click.Choice(["ed25519", "ethereum"]), default="ed25519", show_default=True)
@click.option(
    "--words",
    type=click.Choice(["12", "24"]),
    help="Make a recovery phrase of 12 or 24 words and show it once (--scheme ethereum).",
)
@click.option(
    "--passphrase", is_flag=True, help="Encrypt the key. Asks for the passphrase, or takes QUARRY_PASSPHRASE."
)
@json_option
def new(name: str, scheme: str, words: str | None, passphrase: bool, as_json: bool) -> None:
    """Make a wallet with a new key.

    The key is Ed25519, or with --scheme ethereum secp256k1, as in Ethereum wallets.
    """
    if words is not None and scheme != "ethereum":
        raise Failure("--words needs --scheme ethereum: Ed25519 wallets have no recovery phrase.", USAGE)
    directory = wallet_store.new_wallet_directory(name)
    encryption = wallet_store.new_passphrase() if passphrase else None
    phrase: str | None = None
    if scheme == "ed25519":
        keyring.create(directory, encryption)
    elif words is None:
        keyring.create_ethereum(directory, encryption)
    else:
        from services.wallet import phrases

        phrase = phrases.new_phrase(int(words))
        keyring.store_ethereum(directory, phrases.private_key(phrase), encryption)
    try:
        _show(name, directory, as_json, phrase)
    except OSError:
        if phrase is not None:  # the phrase is shown only here: without it, the wallet is useless
            keyring.discard(directory)
        raise


@wallet.command(name="list")
@url_option
@all_option
@json_option
def list_wallets(url: str | None, everything: bool, as_json: bool) -> None:
    """List the wallets, with their balances if a node answers.

    The node is the one that runs on this machine, or the one at --url.
    """
    names = wallet_store.all_names(url)
    if not names:
        terminal.show(*(["[]"] if as_json else ["There are no wallets yet; `quarry wallet new NAME` makes one."]))
        return
    shown = names[: that_fit(len(names), everything or as_json)]
    derived = wallet_store.accounts_by_name(url, shown)
    found = [
        _describe_account(name, derived[name].address, bytes.fromhex(derived[name].private_key[2:]))
        if name in derived
        else _describe(name, wallet_store.wallet_directory(name, url))
        for name in shown
    ]
    symbol = _add_balances(found, url, quiet=as_json)
    if as_json:
        terminal.show_json(found)
        return
    rows = [[item["name"], item["address"], _coins(item, symbol), item["scheme"]] for item in found]
    terminal.show(*table(_COLUMNS, rows), *rest(len(shown), len(names)))
    if not symbol:
        terminal.say("No node runs on this machine; `quarry wallet list --url URL` asks another for the balances.")


_COLUMNS = (Column("NAME", least=6), Column("ADDRESS"), Column("BALANCE", right=True), Column("SCHEME", extra=True))


@wallet.command()
@click.argument("name", shell_complete=complete_wallets)
@url_option
@json_option
def show(name: str, url: str | None, as_json: bool) -> None:
    """Show a wallet's address, balance, public key and files.

    The balance is asked of the node that runs on this machine, or of the one at --url.
    """
    found = _found(name, url)
    symbol = _add_balances([found], url, quiet=as_json)
    _print(found, as_json, symbol)


def _add_balances(found: list[dict[str, Any]], url: str | None, *, quiet: bool) -> str:
    """Add to each wallet what the node says of its account; the coin's symbol, or "" if no node runs here.

    Raises:
        Unreachable: the node that --url names does not answer.
    """
    if url is None and running_node() is None:
        return ""
    client = connect(url, quiet=quiet)
    try:
        symbol = client.spec().token.symbol
        with bar("accounts", quiet=quiet or len(found) < MANY) as advance:
            for number, item in enumerate(found):
                account = client.account(item["address"])
                item |= {name: account[name] for name in ("balance", "nonce", "pending_nonce")}
                advance(number, len(found))
    except Unreachable:
        if url is not None:
            raise
        return ""
    return symbol


def _coins(item: dict[str, Any], symbol: str) -> str:
    return f"{item['balance']} {symbol}" if "balance" in item else "-"


@wallet.command(name="import")
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--name", help="The new wallet's name. [default: the file's name]")
@click.option("--scheme", type=click.Choice(["ed25519", "ethereum"]), default="ed25519", show_default=True)
@click.option(
    "--index",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Which account of a recovery phrase.",
)
@click.option(
    "--passphrase", is_flag=True, help="Encrypt the copy. Asks for the passphrase, or takes QUARRY_PASSPHRASE."
)
@json_option
def import_wallet(file: Path, name: str | None, scheme: str, index: int, passphrase: bool, as_json: bool) -> None:
    """Make a wallet from an existing private key.

    FILE must have mode 0600. It is a PEM file as OpenSSL writes it (Ed25519 or secp256k1), or with --scheme ethereum
    what Ethereum wallets export: a private key of 64 hexadecimal digits, a version 3 JSON keystore, or a recovery
    phrase, of which the account m/44'/60'/0'/0/INDEX is taken. With --scheme ethereum, - asks for the key at the
    terminal or reads standard input.
    """
    if name is None and str(file) == "-":
        raise Failure("Name the new wallet with --name NAME.", USAGE)
    name = name if name is not None else file.stem
    directory = wallet_store.new_wallet_directory(name)
    if scheme == "ethereum":
        secret = secret_input.read_ethereum(file, index)
        keyring.store_ethereum(directory, secret, wallet_store.new_passphrase() if passphrase else None)
    elif str(file) == "-":
        raise Failure("Standard input (-) is for --scheme ethereum only; give the PEM file by name.", USAGE)
    else:
        _import_pem(file, directory, passphrase)
    _show(name, directory, as_json)


@wallet.command()
@click.argument("name", shell_complete=complete_own_wallets)
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["keystore", "key"]),
    default="keystore",
    show_default=True,
    help="A JSON keystore with a passphrase of its own, or the bare key in hexadecimal digits.",
)
def export(name: str, file: Path, kind: str) -> None:
    """Write an Ethereum wallet's private key to a new FILE.

    Other wallet programs can read it. FILE gets mode 0600; - is standard output. The passphrase of a keystore is asked
    for, or read from the first line of standard input. An Ed25519 wallet needs no export: its private.key is a PEM
    file.
    """
    from services.wallet.signers import EthereumSigner

    if _found(name)["scheme"] != "ethereum":
        raise Failure(
            "Only Ethereum wallets are exported; an Ed25519 wallet's private.key is a PEM file that you can copy."
        )
    signer = wallet_store.open_wallet(name)
    assert isinstance(signer, EthereumSigner), "the public key is of its scheme"
    if kind == "key":
        content = f"0x{signer.private_key.hex()}\n".encode()
    else:
        from services.wallet import keystores

        content = keystores.to_bytes(keystores.encrypt(signer.private_key, secret_input.new_keystore_passphrase()))
    if str(file) == "-":
        terminal.show_secret(content.decode())
    else:
        keyring.write_secret(file, content)


@wallet.command()
@click.argument("file", type=click.Path(allow_dash=True, path_type=Path))
@click.option("--from", "sender", required=True, help="The wallet that signs.", shell_complete=complete_wallets)
@click.option("--spec", default="dev", show_default=True, metavar="NAME|FILE", help="The transaction's chain.")
def sign(file: Path, sender: str, spec: str) -> None:
    """Sign the transaction in FILE (- for standard input).

    The transaction is JSON. It is printed with its signature, as POST /transactions/new takes it. Fields: type, nonce,
    recipient, amount and fee; optionally chain_id, owner and data. The sender is the wallet's address.
    """
    from services.settings.table import load_spec
    from shared import wire
    from shared.errors import InputError
    from shared.transaction import check_recipient, normalise, read_transaction

    chain = load_spec(spec, "--spec")
    content = secret_input.read(file)
    try:
        fields = normalise(wire.parse(content))
    except InputError as error:
        raise Failure(f"{secret_input.name_of(file)} holds no transaction: {error.message}") from None
    for name in ("scheme", "signature", "public_key"):
        if name in fields:
            raise Failure(f"The transaction already has a {name}.")
    signer = wallet_store.open_wallet(sender)
    if fields.setdefault("sender", signer.address) != signer.address:
        raise Failure("The transaction's sender is not this wallet's address.")
    if fields.setdefault("chain_id", chain.chain_id) != chain.chain_id:
        raise Failure(
            f"The transaction is for another chain than {chain.name} (chain id {chain.chain_id}); name its chain with "
            "--spec."
        )
    missing = {"type", "nonce", "recipient", "amount", "fee"} - fields.keys()
    if missing:
        raise Failure(f"The transaction lacks the field {min(missing)}.")
    signed = signer.sign(fields, chain)
    check_recipient(read_transaction(signed), chain)  # what a node would refuse is refused here
    terminal.show_json(signed)


def _import_pem(file: Path, directory: Path, passphrase: bool) -> None:
    from services.wallet.signers import Ed25519Signer, EthereumSigner

    signer = keyring.unlock(file, lambda: wallet_store.passphrase_of(str(file)))
    new_one = wallet_store.new_passphrase() if passphrase else None
    if isinstance(signer, Ed25519Signer):
        keyring.store(directory, signer.key.seed, new_one)
    elif isinstance(signer, EthereumSigner):
        keyring.store_ethereum(directory, signer.private_key, new_one)


def _found(name: str, url: str | None = None) -> dict[str, Any]:
    """What is said of the wallet or development account of that name. Raises: as `wallet_directory`."""
    account = wallet_store.development_account(name, url)
    if account is None:
        return _describe(name, wallet_store.wallet_directory(name, url))
    return _describe_account(name, account.address, account.private_key)


def _describe_account(name: str, address: str, private_key: bytes) -> dict[str, Any]:
    known = {"address": address, "scheme": "ethereum", "public_key": keyring.public_key_of(private_key).hex()}
    return {"name": name, **known, "encrypted": False, "directory": ""}


def _describe(name: str, directory: Path) -> dict[str, Any]:
    encrypted = keyring.is_encrypted(directory)
    return {"name": name, **keyring.describe(directory), "encrypted": encrypted, "directory": str(directory)}


def _show(name: str, directory: Path, as_json: bool, phrase: str | None = None) -> None:
    _print(_describe(name, directory) | ({} if phrase is None else {"phrase": phrase}), as_json)


def _print(found: dict[str, Any], as_json: bool, symbol: str = "") -> None:
    if as_json:
        terminal.show_json(found)
        return
    lines = [
        f"{found['name']}: {found['address']}",
        *([f"  balance     {_coins(found, symbol)}"] if symbol else []),
        f"  scheme      {found['scheme']}{', encrypted' if found['encrypted'] else ''}",
        f"  public key  {found['public_key']}",
        f"  files       {found['directory'] or 'none: everybody knows the key of a development account'}",
    ]
    if "phrase" in found:
        lines += [
            f"  phrase      {found['phrase']}",
            "Write the phrase down now: it is not stored, and will not be shown again.",
            "Anyone who knows the phrase can spend the wallet's coins.",
        ]
    terminal.show(*lines)
