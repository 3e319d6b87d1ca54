"""The names of addresses that this user has keys for: wallets, the node's own wallet, development accounts."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.cli.options import running_node
from api.cli.wallet import wallet_store
from services.errors import BadSettings
from services.wallet import keyring
from services.wallet.directory import wallets_in
from shared.errors import NodeError

FAUCET = "faucet"


class Names:
    """Which names the addresses have. The keys are looked at when a name is asked for, and again after a new wallet.

    Args:
        url: the address of the node whose key and development accounts count; None: the one that runs on this machine.
        wallets: where the wallets lie; None: in `wallet_store.wallets_directory`.
        others: by address, the names of the node's key and accounts, if they are known already; `url` is not used then.
    """

    def __init__(
        self, url: str | None = None, *, wallets: Path | None = None, others: Mapping[str, str] | None = None
    ) -> None:
        self._url, self._wallets, self._others = url, wallets, others
        self._seen: list[Path] | None = None
        self._known: dict[str, str] = {}

    def of(self, address: Any) -> str:
        """The name of an address; "" if it has none. A wallet's name comes before the others."""
        return self._all().get(address, "") if isinstance(address, str) else ""

    def beside(self, address: Any) -> str:
        """An address with its name, if it has one: `0x… (alice)`."""
        name = self.of(address)
        return f"{address} ({name})" if name else str(address)

    def _all(self) -> Mapping[str, str]:
        directory = self._wallets or own_wallets()
        seen = [] if directory is None else [directory / name for name in wallets_in(directory)]
        if seen != self._seen:
            self._seen, self._known = seen, {}
            for path in seen:
                for address, known in _of_directory(path, path.name):
                    self._known.setdefault(address, known)
            if self._others is None:
                self._others = dict(self._of_the_node())
            self._known = {**self._others, **self._known}
        return self._known

    def _of_the_node(self) -> Iterable[tuple[str, str]]:
        here = running_node(self._url)
        if here is None:
            return
        with suppress(NodeError):  # of the file with their phrase; commands that use the accounts say why
            yield from account_names(account.address for account in wallet_store.development_accounts(url=self._url))
        for name, directory in wallet_store.node_directories(self._url).items():
            yield from _of_directory(directory, name)
        yield from _of_directory(here[0].directory, wallet_store.NODE)


def account_names(addresses: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Each development account with its name; the first one is also the faucet's."""
    for number, address in enumerate(addresses):
        yield address, f"account{number}" + (f", {FAUCET}" if number == 0 else "")


def own_wallets() -> Path | None:
    """Where this user's wallets lie; None: this user has no home, and no setting names a directory."""
    try:
        return wallet_store.wallets_directory()
    except BadSettings:
        return None


def _of_directory(directory: Path, name: str) -> Iterable[tuple[str, str]]:
    with suppress(NodeError, OSError):  # a key that cannot be read has no name; commands that use it say why
        yield keyring.address_of(directory), name
