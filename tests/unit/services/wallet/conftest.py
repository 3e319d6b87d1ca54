"""Fixtures of the wallets' tests."""

import pytest

from services.wallet import keystores
from tests.support.key_files import LIGHT


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keystores that are made quickly."""
    encrypt = keystores.encrypt
    monkeypatch.setattr(keystores, "encrypt", lambda key, passphrase: encrypt(key, passphrase, n=LIGHT))
