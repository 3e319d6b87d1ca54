"""The secrets of a node as files of a backup: its keys and admin token, the wallets, a phrase of its chain.

In a backup they have the names `node/private.key`, `wallets/alice/private.key`, `chain/mnemonic` and so on, wherever
they are on disk.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.backup.content import MAX_FILE
from services.backup.sealed import BadBackup
from services.system.files import make_private_directory, write_new
from services.system.text_files import read_small
from services.wallet import keyring
from services.wallet.directory import wallets_in

_TOKEN, _MNEMONIC = "admin-token", "mnemonic"
_KEYS = (keyring.PRIVATE_KEY, keyring.PUBLIC_KEY, keyring.CERTIFICATE)
_NAME = re.compile(
    r"node/(?:private\.key|public\.key|certificate\.pem|admin-token)|chain/mnemonic"
    r"|wallets/[A-Za-z0-9][A-Za-z0-9_-]{0,63}/(?:private\.key|public\.key|certificate\.pem)"
)
_PUBLIC = (keyring.PUBLIC_KEY, keyring.CERTIFICATE)


@dataclass(frozen=True, slots=True)
class KeyPlaces:
    """Where the secrets of a node are, or are to be."""

    node: Path  # directory of its keys and admin token
    wallets: Path
    chain: Path  # directory of the phrase, if the chain has one
    token: Path | None = None  # None: in the node's directory

    def exist(self) -> bool:
        """Whether the node has a key here."""
        return (self.node / keyring.PRIVATE_KEY).is_file()

    def read(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of each file that is there.

        Raises:
            BadTextFile: a file cannot be read or is too large.
        """
        files = [(f"node/{name}", self.node / name) for name in _KEYS]
        files += [(f"node/{_TOKEN}", self.token or self.node / _TOKEN), (f"chain/{_MNEMONIC}", self.chain / _MNEMONIC)]
        for wallet in wallets_in(self.wallets):
            directory = self.wallets / wallet
            if directory.resolve() != self.node.resolve():  # in a cluster, they are side by side
                files += [(f"wallets/{wallet}/{name}", directory / name) for name in _KEYS]
        for name, path in files:
            if path.exists():
                yield name, read_small(path, limit=MAX_FILE)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of a backup as a new file; it is on disk when this returns.

        Raises:
            BadBackup: the name is none of a backup. OSError.
        """
        check_name(name)
        room, _, rest = name.partition("/")
        path = {"node": self.node, "wallets": self.wallets, "chain": self.chain}[room] / rest
        make_private_directory(path.parent)
        write_new(path, content, 0o644 if path.name in _PUBLIC else 0o600)


def check_name(name: str) -> None:
    """Refuse a name that no file of a backup has, such as a path to somewhere else. Raises: BadBackup."""
    if not _NAME.fullmatch(name):
        raise BadBackup("The backup holds a file whose name no backup of this version has.")
