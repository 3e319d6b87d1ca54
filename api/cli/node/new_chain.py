"""The options of `quarry up` that make a development chain, and which chain they mean in a data directory."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from api.cli.group import USAGE, Failure
from api.cli.options import require
from api.cli.usage import no_amount
from services.launch.made_chain import NAME, MadeChain, MadeFiles, Wish, differences, make
from services.launch.node_files import NodeFiles, node_files, write_private
from services.wallet.development import DERIVATION_PATH, MOST_ACCOUNTS, DevelopmentAccount
from shared.amounts import parse_amount
from shared.errors import InputError
from shared.wire import MAX_INTEGER

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--accounts",
        type=click.IntRange(1, MOST_ACCOUNTS),
        help="Make a chain with so many development accounts. [default: 10]",
    ),
    click.option("--balance", metavar="COINS", help="What each of them begins with. [default: 10000]"),
    click.option(
        "--mnemonic",
        metavar="PHRASE",
        help="The recovery phrase of the accounts, which is public: everybody on this machine sees this command. "
        "[default: that of anvil and hardhat]",
    ),
    click.option("--mnemonic-random", is_flag=True, help="A new phrase, which is shown once and kept for the chain."),
    click.option("--chain-id", type=click.IntRange(1, MAX_INTEGER), help="The chain id. [default: 31337]"),
    click.option(
        "--ephemeral", is_flag=True, help="A new chain in a directory of its own, which is removed when `up` ends."
    ),
)


def chain_options(command: Command) -> Command:
    """Give a command the options that make a chain."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wish(
    accounts: int | None, balance: str | None, mnemonic: str | None, mnemonic_random: bool, chain_id: int | None
) -> Wish:
    """The options as a wish.

    Raises:
        Failure: two of them contradict each other, or the balance is no amount above 0.
    """
    require(not (mnemonic is not None and mnemonic_random), "--mnemonic and --mnemonic-random exclude each other.")
    units = None
    if balance is not None:
        try:
            units = parse_amount(balance, field="--balance")
        except InputError:
            raise Failure(no_amount("--balance", balance), USAGE) from None
        require(units > 0, "--balance must be above 0.")
    return Wish(accounts, units, mnemonic, mnemonic_random, chain_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the nodes of one `up` keep their files, and the chain that was made for them."""

    directory: Path  # "data_dir" of --json
    made: MadeFiles | None = None  # None: the chain spec is another one
    is_new: bool = False  # whether the chain was made by this command
    ephemeral: bool = False

    @property
    def spec(self) -> str | None:
        """The file of the made chain's spec."""
        return None if self.made is None else str(self.made.spec.absolute())

    def files_of(self, spec: str, node: str) -> NodeFiles:
        """The files of a node, on the made chain or else on the chain spec `spec`."""
        if self.ephemeral:
            return NodeFiles(self.directory / node)
        return node_files(self.directory, spec if self.made is None else NAME, node)

    def with_its(self, given: Mapping[str, str]) -> dict[str, str]:
        """Settings of its nodes, with those by which they find the made chain."""
        # Nothing in the directory outlives this command, so it need not outlive a power cut.
        settings = {"QUARRY_DURABILITY": "unsafe", **given} if self.ephemeral else dict(given)
        if self.made is not None:
            settings["QUARRY_DEVELOPMENT_MNEMONIC_FILE"] = str(self.made.mnemonic.absolute())
        return settings


@contextmanager
def place(home: Path, wished: Wish, named: str | None, ephemeral: bool) -> Iterator[Place]:
    """Where the nodes begin, or go on.

    With options that make a chain, it is made and kept; or it is there already, and the options agree with it. Without
    any, a kept chain goes on.

    Args:
        home: the data directory.
        named: the option or setting that names another chain; None: there is none.

    Raises:
        Failure: an option contradicts `named` or the kept chain. BadSettings: an option or a kept file cannot be used.
        NodeFilesError: the disk refuses.
    """
    names = wished.names()
    if names and named is not None:
        raise Failure(f"{names[0]} makes a chain, and {named} names another: leave one of them out.", USAGE)
    chain = make(wished) if names else None  # before anything is written
    if ephemeral:
        from services.launch.ephemeral import ephemeral_directory

        with ephemeral_directory(home.absolute()) as directory:
            made = None if chain is None else MadeFiles(directory)
            if made is not None and chain is not None:
                made.write(chain)
            yield Place(directory, made, is_new=True, ephemeral=True)
        return
    files = MadeFiles(home.absolute() / NAME)
    kept = files.exist() and named is None
    if chain is not None and not (kept and files.is_begun()):
        files.write(chain)
        yield Place(home, files, is_new=True)
    elif kept:
        _require_agreement(wished, files.read(), files.directory)
        yield Place(home, files)
    else:
        yield Place(home)


def _require_agreement(wished: Wish, kept: MadeChain, directory: Path) -> None:
    found = differences(wished, kept)
    if found:
        raise Failure(
            f"The chain in {directory} was made with {' and '.join(found)}. To continue it, leave the options out that "
            "make a chain; to begin anew, add --ephemeral, or name another directory with --data-dir.",
            USAGE,
        )


# --- --config-out -----------------------------------------------------------------------------------------------------


def require_writable(file: Path) -> None:
    """Refuse a file that could not be written once the nodes are ready.

    Raises:
        Failure
    """
    parent = file.absolute().parent
    if not parent.is_dir():
        raise Failure(f"--config-out: the directory {parent} does not exist.", USAGE)
    if file.exists() and not file.is_file():
        raise Failure(f"--config-out: {file} is not a file.", USAGE)
    if not os.access(parent, os.W_OK | os.X_OK) or (file.exists() and not os.access(file, os.W_OK)):
        raise Failure(f"--config-out: {file} cannot be written.", USAGE)


def write_config(file: Path, accounts: tuple[DevelopmentAccount, ...], phrase: str, more: Mapping[str, Any]) -> None:
    """Write what anvil's --config-out has, and more, in one step, for the owner alone.

    Args:
        phrase: "": none is known. more: further fields.

    Raises:
        NodeFilesError: the disk refuses.
    """
    value = {
        "available_accounts": [account.address for account in accounts],
        "private_keys": [account.private_key for account in accounts],
        "wallet": {"derivation_path": DERIVATION_PATH, "mnemonic": phrase} if phrase else {},
        **more,
    }
    write_private(file, json.dumps(value, indent=2) + "\n")
