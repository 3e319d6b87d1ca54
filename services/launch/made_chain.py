"""Development chains that `quarry up` makes from its options, so that nobody has to write a chain spec for one.

A made chain is two files in one directory, beside the directories of its nodes: `spec.toml`, and `mnemonic` with the
recovery phrase of its accounts. Nodes get both by settings, as they would get files that a person wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.errors import BadSettings
from services.launch.node_files import write_private
from services.settings.table import BUILT_IN_SPECS, load_spec
from services.settings.values import named
from services.system.files import make_private_directory
from services.wallet import phrases
from services.wallet.development import PHRASE, derived, read_phrase
from shared.amounts import COIN, MAX_AMOUNT, format_amount
from shared.chain_spec import ChainSpec, spec_from_object

NAME = "local"  # of every made chain spec, and of the directory that keeps one
# As in anvil and hardhat. It must not be that of a built-in spec, which has other allocations.
CHAIN_ID = 31337
ACCOUNTS = 10
BALANCE = 10_000 * COIN
_SPEC, _MNEMONIC = "spec.toml", "mnemonic"
_WORDS = 12  # of a random phrase


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say of a chain; None: nothing. Amounts in base units."""

    accounts: int | None = None
    balance: int | None = None
    phrase: str | None = None
    random_phrase: bool = False
    chain_id: int | None = None

    def names(self) -> list[str]:
        """The options that were given."""
        said: Mapping[str, object] = {
            "--accounts": self.accounts,
            "--balance": self.balance,
            "--mnemonic": self.phrase,
            "--mnemonic-random": self.random_phrase or None,
            "--chain-id": self.chain_id,
        }
        return [name for name, value in said.items() if value is not None]


@dataclass(frozen=True, slots=True)
class MadeChain:
    """A chain spec, and the phrase whose first accounts have all its coins."""

    spec: ChainSpec
    phrase: str

    @property
    def balance(self) -> int:
        """What each account begins with, in base units."""
        return next(iter(self.spec.allocations.values()))


@dataclass(frozen=True, slots=True)
class MadeFiles:
    """The files of a made chain."""

    directory: Path

    @property
    def spec(self) -> Path:
        return self.directory / _SPEC

    @property
    def mnemonic(self) -> Path:
        return self.directory / _MNEMONIC

    def exist(self) -> bool:
        """Whether a chain is kept here."""
        return self.spec.exists()

    def read(self) -> MadeChain:
        """The chain that is kept here.

        Raises:
            BadSettings: a file is missing or cannot be used.
        """
        try:
            phrase = named(str(self.mnemonic), read_phrase, self.mnemonic)
        except phrases.BadPhrase as error:
            raise BadSettings(f"{self.mnemonic}: {error}") from None
        return MadeChain(load_spec(str(self.spec)), phrase)

    def write(self, chain: MadeChain) -> None:
        """Keep a chain here, in place of another if there is one. The phrase comes first: `exist` looks for the spec.

        Raises:
            NodeFilesError: the disk refuses.
        """
        make_private_directory(self.directory)
        write_private(self.mnemonic, chain.phrase + "\n")
        write_private(self.spec, to_toml(chain.spec))

    def is_begun(self) -> bool:
        """Whether a node has been made on the chain: it cannot become another one then."""
        return any(self.directory.glob("*/private.key"))


def make(wish: Wish) -> MadeChain:
    """The chain of the options, with anvil's defaults for those that were not given.

    Raises:
        BadSettings: an option cannot be used; the message begins with its name and never repeats the phrase.
    """
    number = ACCOUNTS if wish.accounts is None else wish.accounts
    balance = BALANCE if wish.balance is None else wish.balance
    chain_id = CHAIN_ID if wish.chain_id is None else wish.chain_id
    for name in BUILT_IN_SPECS:
        if chain_id == load_spec(name).chain_id:
            raise BadSettings(f"--chain-id: {chain_id} is that of the built-in spec {name}; choose another.")
    try:
        phrase = (
            phrases.new_phrase(_WORDS)
            if wish.random_phrase
            else phrases.normal(PHRASE if wish.phrase is None else wish.phrase)
        )
    except phrases.BadPhrase as error:
        raise BadSettings(f"--mnemonic: {error}") from None
    if number * balance + COIN > MAX_AMOUNT:
        raise BadSettings("--balance: all accounts and a reward must together stay below 2^256 base units.")
    addresses = [account.address for account in derived(phrase, number)]
    spec = spec_from_object(
        {
            "name": NAME,
            "development": True,
            "chain_id": chain_id,
            "genesis_timestamp": load_spec("dev").genesis_timestamp,  # fixed: equal options make the same chain
            "allocations": dict.fromkeys(addresses, format_amount(balance)),
        }
    )
    return MadeChain(spec, phrase)


def differences(wish: Wish, kept: MadeChain) -> list[str]:
    """What the options ask otherwise than the kept chain has it, in words."""
    found = []
    number = len(kept.spec.allocations)
    if wish.accounts not in (None, number):
        found.append(f"--accounts {number}")
    if wish.balance not in (None, kept.balance):
        found.append(f"--balance {format_amount(kept.balance)}")
    if wish.chain_id not in (None, kept.spec.chain_id):
        found.append(f"--chain-id {kept.spec.chain_id}")
    other = wish.phrase is not None and " ".join(wish.phrase.lower().split()) != kept.phrase
    # A random phrase is made once. After that, the option means the kept one, unless that is the usual one.
    if other or (wish.random_phrase and kept.phrase == PHRASE):
        found.append("another phrase")
    return found


def to_toml(spec: ChainSpec) -> str:
    """The spec as a TOML file. Only what differs from the defaults of a chain spec is written."""
    return "\n".join(
        (
            "# Made by `quarry up` from its options. A chain cannot change its spec: it would be another chain.",
            f'name = "{spec.name}"',
            f"development = {str(spec.development).lower()}",
            f"chain_id = {spec.chain_id}",
            f"genesis_timestamp = {spec.genesis_timestamp}",
            "",
            "[allocations]",
            *(f'{address} = "{format_amount(amount)}"' for address, amount in spec.allocations.items()),
            "",
        )
    )
