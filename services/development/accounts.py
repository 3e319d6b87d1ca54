"""The unlocked accounts: those whose keys everybody knows and that the chain spec gives coins to."""

from collections.abc import Mapping, Sequence

from services.settings.table import Settings
from services.wallet.development import ACCOUNTS, DevelopmentAccount
from services.wallet.signers import EthereumSigner


class UnlockedAccounts:
    """Accounts that the node signs for, in the order of their phrase."""

    def __init__(self, allocations: Mapping[str, int], keys: Sequence[DevelopmentAccount]) -> None:
        """
        Args:
            allocations: those of the chain spec. An account without one is not unlocked, since nobody said that the
                chain is for it.
        """
        self._signers = {
            item.address: EthereumSigner(bytes.fromhex(item.private_key[2:]), item.address)
            for item in keys
            if allocations.get(item.address)
        }

    @property
    def addresses(self) -> list[str]:
        """EIP-55 addresses."""
        return list(self._signers)

    def signer(self, address: str) -> EthereumSigner | None:
        """The key of an account; None if it is not unlocked. `address` is EIP-55."""
        return self._signers.get(address)


def public_keys(settings: Settings) -> Sequence[DevelopmentAccount]:
    """The keys that everybody knows on this node's chain. The one place that says so."""
    return ACCOUNTS if settings.spec.development else ()


def unlocked_accounts(settings: Settings) -> UnlockedAccounts:
    """The accounts that a node with these settings signs for."""
    return UnlockedAccounts(settings.spec.allocations, public_keys(settings))
