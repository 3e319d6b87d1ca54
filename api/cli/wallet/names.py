"""The names of addresses that this user has keys for: wallets, the node's own wallet, development accounts."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from api.cli.options import running_node
from api.cli.wallet import wallet_store
from services.wallet import keyring
from shared.errors import NodeError

FAUCET = "faucet"


class Names:
    """Which names the addresses have. The keys are looked at when a name is first asked for.

    Args:
        url: the address of the node whose key and development accounts count; None: the one that runs on this machine.
    """

    def __init__(self, url: str | None = None) -> None:
        self._url = url

    def of(self, address: Any) -> str:
        """The name of an address; "" if it has none."""
        return self.all.get(address, "") if isinstance(address, str) else ""

    def beside(self, address: Any) -> str:
        """An address with its name, if it has one: `0x… (alice)`."""
        name = self.of(address)
        return f"{address} ({name})" if name else str(address)

    @cached_property
    def all(self) -> Mapping[str, str]:
        """By address, the name of each key. A wallet's own name comes before the others."""
        found: dict[str, str] = {}
        for address, name in self._pairs():
            found.setdefault(address, name)
        return found

    def _pairs(self) -> Iterable[tuple[str, str]]:
        for name in wallet_store.wallet_names():
            yield from _of_directory(wallet_store.wallets_directory() / name, name)
        here = running_node(self._url)
        if here is None:
            return
        yield from _of_directory(here[0].directory, wallet_store.NODE)
        for name, directory in wallet_store.node_directories(self._url).items():
            yield from _of_directory(directory, name)
        accounts = development_addresses(here[1].development_accounts, here[1].mnemonic_file)
        for number, address in enumerate(accounts):
            yield address, f"account{number}" + (f", {FAUCET}" if number == 0 else "")


def development_addresses(number: int, mnemonic_file: str) -> list[str]:
    """The addresses of a node's first `number` development accounts, as its record describes them.

    The list is empty if the file with their phrase cannot be used.
    """
    from services.wallet import development

    if not mnemonic_file and number <= len(development.ACCOUNTS):
        return [account.address for account in development.ACCOUNTS[:number]]
    try:
        phrase = development.read_phrase(Path(mnemonic_file)) if mnemonic_file else development.PHRASE
        return [account.address for account in development.derived(phrase, number)]
    except NodeError:
        return []


def _of_directory(directory: Path, name: str) -> Iterable[tuple[str, str]]:
    with suppress(NodeError, OSError):  # a key that cannot be read has no name; commands that use it say why
        yield keyring.address_of(directory), name
