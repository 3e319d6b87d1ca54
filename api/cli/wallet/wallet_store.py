"""The wallets on this machine. Each is a directory of key files; the name `node` means the running node's key.

Under `quarry up --nodes N` the other nodes' keys have the names of their nodes: `node2`, `node3` and so on. The
development accounts of the running node are `account0`, `account1` and so on.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli import terminal
from api.cli.group import USAGE, Failure
from api.cli.options import home, running_node
from api.cli.suggestions import did_you_mean
from services.launch.node_files import NodeRecord, running_nodes
from services.settings.paths import expanded
from services.settings.values import named
from services.wallet import keyring
from services.wallet.directory import NAME as _NAME
from services.wallet.directory import wallets_in
from services.wallet.keyring import KeyringError, PassphraseNeeded
from services.wallet.signers import EthereumSigner, Signer

if TYPE_CHECKING:  # it imports the settings, which most commands do without
    from services.wallet.development import DevelopmentAccount

NODE = "node"
_DIGITS = re.compile(r"[0-9a-fA-F]{40}")
_ACCOUNT = re.compile(r"account(0|[1-9][0-9]{0,2})")


def wallets_directory() -> Path:
    """QUARRY_WALLETS, or `wallets` in the data directory."""
    given = os.environ.get("QUARRY_WALLETS")
    return named("QUARRY_WALLETS", expanded, given) if given else home() / "wallets"


def wallet_names() -> list[str]:
    """The names of the wallets that exist, in order; `node` is not among them."""
    return wallets_in(wallets_directory())


def new_wallet_directory(name: str) -> Path:
    """The directory for a new wallet, which need not exist.

    Raises:
        Failure: the name cannot be used, or is taken.
    """
    if name[:2].lower() == "0x":
        raise Failure("A wallet's name must not begin with 0x: an address does, and would be meant by it.", USAGE)
    if name == NODE or not _NAME.fullmatch(name):
        raise Failure(
            f"A wallet's name has 1 to 64 letters, digits, - and _; the name {NODE} means the running node.",
            USAGE,
        )
    directory = wallets_directory() / name
    if (directory / keyring.PRIVATE_KEY).exists():
        raise Failure(f"There is already a wallet {name}; wallets are never replaced.")
    return directory


def wallet_directory(name: str, url: str | None = None) -> Path:
    """The key directory of a wallet or of a running node, by name.

    Args:
        url: the address of the node that `node` means; None: the one that runs on this machine.

    Raises:
        Failure: there is none.
    """
    if name == NODE:
        found = running_node(url)
        if found is None:
            raise Failure(_no_node(url))
        return found[0].directory
    if not _NAME.fullmatch(name):
        raise Failure(_no_wallet(name, url))
    directory = wallets_directory() / name
    if directory.is_dir():
        return directory
    beside = node_directories(url).get(name)
    if beside is None:
        raise Failure(_no_wallet(name, url))
    return beside


def _no_node(url: str | None) -> str:
    if url is None:
        return "No node runs on this machine, so there is no wallet `node`; `quarry up` starts a node."
    return (
        f"The node at {url} is not one that this user's `quarry up` runs on this machine, so its key is not here; name "
        "a wallet of `quarry wallet list` instead of `node`."
    )


def _no_wallet(name: str, url: str | None) -> str:
    if name[:2].lower() == "0x":
        return "A wallet is needed here, not an address: its key signs. `quarry wallet list` shows the wallets."
    names = wallet_names()
    known = ", ".join(names) or "none yet; `quarry wallet new NAME` makes one"
    if _DIGITS.fullmatch(name):
        meant = " An address begins with 0x."
    elif name.lower().endswith(".eth"):
        meant = " Names of ENS are of another chain: give the address."
    else:
        meant = did_you_mean(name, all_names(url))
    return f"There is no wallet with that name in {wallets_directory()} (wallets there: {known}).{meant}"


def node_names(url: str | None = None) -> list[str]:
    """`node` and the names of the nodes beside it, as far as they run on this machine."""
    found = running_node(url)
    if found is None:
        return []
    beside = [name for name in node_directories(url) if name != found[1].name]
    return [NODE, *(name for name in beside if name not in wallet_names())]


def node_directories(url: str | None = None) -> dict[str, Path]:
    """By name, the key directories of all nodes that one `quarry up` runs: the one that was started last.

    Args:
        url: the address of one of its nodes, which may be in any data directory.
    """
    found = running_node(url)
    if found is None:
        return {}
    place = found[0].directory.parent.parent
    return {record.name: files.directory for files, record in running_nodes(place) if record.pid == found[1].pid}


def account_names(url: str | None = None) -> list[str]:
    """The names of the running node's development accounts that no wallet has taken."""
    found = running_node(url)
    number = 0 if found is None else found[1].development_accounts
    taken = set(wallet_names())
    return [name for name in (f"account{index}" for index in range(number)) if name not in taken]


def development_accounts(url: str | None = None, most: int | None = None) -> "tuple[DevelopmentAccount, ...]":
    """The development accounts of the running node, or the first `most`, derived together; () without such a node.

    Raises:
        BadTextFile, BadPhrase: the file of their phrase cannot be used.
    """
    from services.wallet import development

    found = running_node(url)
    if found is None:
        return ()
    number = found[1].development_accounts if most is None else min(most, found[1].development_accounts)
    if not found[1].mnemonic_file and number <= len(development.ACCOUNTS):
        return development.ACCOUNTS[:number]
    return development.derived(development_phrase(found[1]), number)


def accounts_by_name(url: str | None, names: Sequence[str]) -> "dict[str, DevelopmentAccount]":
    """Those of `names` that are development accounts of the running node, derived together.

    A wallet may have the name of an account, and is meant by it then. Raises as `development_accounts`.
    """
    free = set(account_names(url)) & set(names)
    if not free:
        return {}
    last = max(int(name.removeprefix("account")) for name in free)
    found = development_accounts(url, last + 1)
    return {name: account for number, account in enumerate(found) if (name := f"account{number}") in free}


def development_phrase(record: NodeRecord) -> str:
    """The phrase of a node's development accounts. Raises as `development_accounts`."""
    from services.wallet import development

    return development.read_phrase(Path(record.mnemonic_file)) if record.mnemonic_file else development.PHRASE


def all_names(url: str | None = None) -> list[str]:
    """The names of all wallets, of the node's own and of its development accounts."""
    return [*wallet_names(), *node_names(url), *account_names(url)]


def development_account(name: str, url: str | None = None) -> EthereumSigner | None:
    """The key of a development account of the running node, by name; None: it is none, or a wallet has that name.

    Raises:
        BadTextFile, BadPhrase: the file of its phrase cannot be used.
    """
    if (named_so := _ACCOUNT.fullmatch(name)) is None:
        return None
    found = running_node(url)
    if found is None or int(named_so[1]) >= found[1].development_accounts:
        return None
    if (wallets_directory() / name).is_dir():
        return None
    from services.wallet import phrases
    from shared.ethereum import address_of_private_key

    secret = phrases.private_key(development_phrase(found[1]), int(named_so[1]))
    return EthereumSigner(secret, address_of_private_key(secret))


def address(name_or_address: str, url: str | None = None) -> str:
    """The address of a wallet, by name; an address itself, in its normal form.

    Raises:
        InputError: a malformed address. Failure: no such wallet.
    """
    from shared.addresses import parse_address

    if name_or_address[:2] in ("0x", "0X"):
        return parse_address(f"0x{name_or_address[2:]}")
    if (account := development_account(name_or_address, url)) is not None:
        return account.address
    return keyring.address_of(wallet_directory(name_or_address, url))


def open_wallet(name: str, url: str | None = None) -> Signer:
    """The signer of a wallet. The passphrase of an encrypted key is QUARRY_PASSPHRASE, or asked for at the terminal."""
    if (account := development_account(name, url)) is not None:
        return account
    return keyring.unlock(wallet_directory(name, url), lambda: passphrase_of(name))


def passphrase_of(what: str) -> str:
    """The passphrase of the encrypted wallet or file `what`: QUARRY_PASSPHRASE, or asked for at the terminal.

    Raises:
        PassphraseNeeded: the variable is not set, and there is no terminal.
    """
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is not None:
        return given
    if not terminal.is_attended():
        raise PassphraseNeeded(f"The private key of {what} is encrypted: set QUARRY_PASSPHRASE, or use a terminal.")
    return terminal.ask(f"Passphrase of {what}", hidden=True)


def new_passphrase() -> str:
    """A passphrase for a new key: QUARRY_PASSPHRASE, or asked for twice at the terminal.

    Raises:
        Failure: the variable is not set, and there is no terminal. KeyringError: it is empty.
    """
    given = os.environ.get("QUARRY_PASSPHRASE")
    if given is None:
        if not terminal.is_attended():
            raise Failure("--passphrase needs a terminal to ask at, or QUARRY_PASSPHRASE.", USAGE)
        given = terminal.ask("Passphrase", hidden=True, twice=True)
    if not given:
        raise KeyringError(
            "The passphrase must not be empty: it would not protect the key. To store the key unencrypted, leave out "
            "--passphrase."
        )
    return given
