"""Which accounts are unlocked."""

import pytest

from services.development.accounts import UnlockedAccounts, unlocked_accounts
from services.settings.table import load
from services.wallet.development import ACCOUNTS
from shared.ethereum import address_of_private_key


def test_all_ten_of_the_development_spec_in_their_order() -> None:
    accounts = unlocked_accounts(load({}))
    assert accounts.addresses == [item.address for item in ACCOUNTS]
    for address in accounts.addresses:
        signer = accounts.signer(address)
        assert signer is not None and address_of_private_key(signer.private_key) == signer.address == address


@pytest.mark.parametrize("spec", ["network", "tutorial"])
def test_none_on_other_specs(spec: str) -> None:
    assert unlocked_accounts(load({"QUARRY_SPEC": spec})).addresses == []
    assert unlocked_accounts(load({"QUARRY_SPEC": "network"})).addresses == []


def test_an_account_without_coins_is_not_unlocked() -> None:
    first, second, third = (item.address for item in ACCOUNTS[:3])
    accounts = UnlockedAccounts({third: 1, first: 5, second: 0, "0x" + "11" * 20: 7}, ACCOUNTS)
    assert accounts.addresses == [first, third]
    assert accounts.signer(second) is None and accounts.signer(first.lower()) is None
    assert "private" not in repr(accounts.signer(first))
