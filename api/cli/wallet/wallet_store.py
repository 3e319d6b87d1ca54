"""The wallets on this machine: a key directory each, and `node`, the key of the node that runs here.

Under `quarry up --nodes N` the others go by their names: `node2`, `node3` and so on.
"""

import os
import re
from pathlib import Path

from api.cli import terminal
from api.cli.group import USAGE, Failure
from api.cli.options import home, running_node
from services.launch.node_files import running_nodes
from services.settings.paths import expanded
from services.settings.values import named
from services.wallet import keyring
from services.wallet.keyring import KeyringError, PassphraseNeeded
from services.wallet.signers import Signer

NODE = "node"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def wallets_directory() -> Path:
    """QUARRY_WALLETS, or `wallets` where the nodes are."""
    given = os.environ.get("QUARRY_WALLETS")
    return named("QUARRY_WALLETS", expanded, given) if given else home() / "wallets"


def wallet_names() -> list[str]:
    """The wallets that exist, `node` aside."""
    try:
        found = [entry.name for entry in wallets_directory().iterdir() if (entry / keyring.PUBLIC_KEY).is_file()]
        found = [name for name in found if _NAME.fullmatch(name)]  # others can be made, or be left, by other hands
    except OSError:
        return []
    return sorted(found)


def new_wallet_directory(name: str) -> Path:
    """Where a wallet of that name is to be made.

    Raises:
        Failure: the name is not usable, or taken.
    """
    if name == NODE or not _NAME.fullmatch(name):
        raise Failure(
            f"A wallet's name is 1 to 64 letters, digits, - and _, and not {NODE}, which is the running node's.", USAGE
        )
    directory = wallets_directory() / name
    if (directory / keyring.PRIVATE_KEY).exists():
        raise Failure(f"There is a wallet {name} already; wallets are never replaced.")
    return directory


def wallet_directory(name: str) -> Path:
    """The key directory of a wallet, by its name, or of a running node.

    Raises:
        Failure: there is none.
    """
    if name == NODE:
        found = running_node()
        if found is None:
            raise Failure("No node runs on this machine, so there is no wallet of its own; `quarry up` starts one.")
        return found[0].directory
    directory = wallets_directory() / name
    if not directory.is_dir() and (beside := _node_of_that_name(name)) is not None:
        return beside
    if not _NAME.fullmatch(name) or not directory.is_dir():
        known = ", ".join(wallet_names()) or "none yet; `quarry wallet new NAME` makes one"
        raise Failure(f"There is no wallet of that name in {wallets_directory()} (there: {known}).")
    return directory


def _node_of_that_name(name: str) -> Path | None:
    """The directory of the node `name`, if the `quarry up` that we talk to runs it."""
    found = running_nodes(home())
    for files, record in found:
        if record.name == name and record.pid == found[0][1].pid:
            return files.directory
    return None


def address(name_or_address: str) -> str:
    """The address that a wallet's name stands for; an address stands for itself.

    Raises:
        InputError: a bad address. Failure: no such wallet.
    """
    from shared.addresses import parse_address

    if name_or_address.startswith("0x"):
        return parse_address(name_or_address)
    return keyring.address_of(wallet_directory(name_or_address))


def open_wallet(name: str) -> Signer:
    """The signer of a wallet. An encrypted key asks for its passphrase: QUARRY_PASSPHRASE, else at the terminal."""
    return keyring.unlock(wallet_directory(name), lambda: passphrase_of(name))


def passphrase_of(what: str) -> str:
    """The passphrase of the encrypted wallet or file `what`: QUARRY_PASSPHRASE, else asked for at the terminal.

    Raises:
        PassphraseNeeded: there is neither.
    """
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is not None:
        return given
    if not terminal.is_attended():
        raise PassphraseNeeded(f"The private key of {what} is encrypted: set QUARRY_PASSPHRASE, or run at a terminal.")
    return terminal.ask(f"Passphrase of {what}", hidden=True)


def new_passphrase() -> str:
    """A passphrase for a new key: QUARRY_PASSPHRASE, else asked for twice."""
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is None:
        if not terminal.is_attended():
            raise Failure("--passphrase needs QUARRY_PASSPHRASE, or a terminal to ask at.", USAGE)
        given = terminal.ask("Passphrase", hidden=True, twice=True)
    if not given:
        raise KeyringError(
            "The passphrase must not be empty, which would leave the key unprotected; without --passphrase it is "
            "stored unencrypted, as you may want."
        )
    return given
