"""A directory of wallets: one directory of key files for each, called by the wallet's name."""

import re
from pathlib import Path

from services.wallet import keyring
from services.wallet.keyring import KeyringError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def wallets_in(directory: Path) -> list[str]:
    """The names of the wallets in a directory, in order; none if it cannot be read."""
    try:
        found = [entry.name for entry in directory.iterdir() if (entry / keyring.PUBLIC_KEY).is_file()]
    except OSError:
        return []
    return sorted(name for name in found if NAME.fullmatch(name))  # other directories may be another program's


class WalletAddresses:
    """The addresses of the wallets in a directory. It is read again only after a wallet was added or removed.

    Args:
        most: wallets that are looked at, in the order of their names.
    """

    def __init__(self, directory: Path, most: int) -> None:
        self._directory = directory
        self._most = most
        self._known: dict[str, str] = {}
        self._seen: tuple[int, int] | None = None  # the directory's time of modification, and how many are in it

    def all(self) -> dict[str, str]:
        """Name → address. Wallets whose public key cannot be read are left out."""
        try:
            status = self._directory.stat()
        except OSError:
            return {}
        # Two changes within one tick of the clock have the same time, so the links of subdirectories are compared too.
        seen = status.st_mtime_ns, status.st_nlink
        if seen != self._seen:
            found = {}
            for name in wallets_in(self._directory)[: self._most]:
                try:
                    found[name] = keyring.address_of(self._directory / name)
                except (KeyringError, OSError):
                    continue
            self._known, self._seen = found, seen
        return self._known
