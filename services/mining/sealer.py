"""The key by which this process signs templates, on a chain that only sealers extend.

The processes of the node have it: API, network worker and ticker. Mining workers have none, and a network worker on
another machine need not have it. A process without it that finds that a template is needed asks the network workers for
it (`Sealer.ask`).
"""

from pathlib import Path

from services.errors import BadSettings, NotASealer
from services.jobs.queues import TEMPLATE
from services.ports import Clock, Queue
from services.settings.table import Settings
from services.wallet import keyring
from services.wallet.keyring import KeyringError, PassphraseNeeded
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair

# Seconds before a process without the key looks again for the template that it asked for.
_SIGNED_SECONDS = 0.05


class Sealer:
    """What one process may sign.

    Args:
        key: None: this process has none.
        elsewhere: whether another process of the node has a key.
    """

    def __init__(self, spec: ChainSpec, key: KeyPair | None = None, *, elsewhere: bool = False) -> None:
        self._spec = spec
        self.key = key
        self.is_elsewhere = elsewhere and key is None

    @property
    def address(self) -> str | None:
        """The address of the key; None: there is none here."""
        return None if self.key is None else self.key.address

    def may_seal(self, height: int) -> bool:
        """Whether the block at `height` may be this process's."""
        sealers = self._spec.at(height).sealers
        return not sealers or self.address in sealers

    def require(self, height: int) -> KeyPair | None:
        """The key to sign the template at `height` with; None: there nobody signs.

        Raises:
            NotASealer: only others may.
        """
        if not self._spec.at(height).sealers:
            return None
        if self.key is None:
            raise NotASealer(
                f"Only sealers make block {height}, and this node has no key for that: set QUARRY_SEALER_KEY_FILE."
            )
        if not self.may_seal(height):
            raise NotASealer(f"Only sealers make block {height}, and {self.address}, the key of this node, is none.")
        return self.key

    def ask(self, queue: Queue, clock: Clock, node: str, tip: str, version: str = "") -> bool:
        """Have the process that may sign make a template on `tip`. Twice in a second counts once.

        Args:
            version: of the template that is out of date; then the caller waits a moment. "": none is.

        Returns:
            whether there is such a process.
        """
        if self.is_elsewhere:
            second = int(clock.now())
            queue.enqueue_network(TEMPLATE, node, f"template-{node}-{tip[:16]}-{version}-{second}", version)
            if version:
                clock.sleep(_SIGNED_SECONDS)
        return self.is_elsewhere


def sealer_of(settings: Settings) -> Sealer:
    """The sealer of this process.

    Raises:
        BadSettings: the key file cannot be used.
    """
    path = settings.sealer_key_file if settings.spec.has_sealers else None
    return Sealer(settings.spec, None if path is None else _read(path), elsewhere=settings.signs_elsewhere)


def _read(path: Path) -> KeyPair:
    try:
        return keyring.load(path)
    except PassphraseNeeded:
        raise BadSettings(
            f"QUARRY_SEALER_KEY_FILE: {path} is encrypted, and nobody is there to ask for its passphrase: "
            "openssl pkey -in FILE -out NEW writes the key without one."
        ) from None
    except KeyringError as error:
        raise BadSettings(f"QUARRY_SEALER_KEY_FILE: {error}") from None
