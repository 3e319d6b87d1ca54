"""The unlocked accounts: those whose keys everybody knows and that the chain spec gives coins to."""

from collections.abc import Mapping, Sequence

from services.settings.table import Settings
from services.wallet.development import DevelopmentAccount, accounts_of
from services.wallet.signers import EthereumSigner


class UnlockedAccounts:
    """Accounts that the node signs for, in the order of their phrase."""

    def __init__(self, allocations: Mapping[str, int], keys: Sequence[DevelopmentAccount]) -> None:
        """
        Args:
            allocations: those of the chain spec. An account without one is not unlocked, since nobody said that the
                chain is for it.
        """
        self._keys = {item.address: item.private_key for item in keys if allocations.get(item.address)}

    @property
    def addresses(self) -> list[str]:
        """EIP-55 addresses."""
        return list(self._keys)

    def signer(self, address: str) -> EthereumSigner | None:
        """The key of an account; None if it is not unlocked. `address` is EIP-55."""
        key = self._keys.get(address)
        return None if key is None else EthereumSigner(bytes.fromhex(key[2:]), address)


def unlocked_accounts(settings: Settings) -> UnlockedAccounts:
    """The accounts that a node with these settings signs for. Raises: BadSettings, as `accounts_of`."""
    return UnlockedAccounts(settings.spec.allocations, accounts_of(settings))
