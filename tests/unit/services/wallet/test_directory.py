"""A directory of wallets: the names in it, and their addresses."""

import os
from pathlib import Path

import pytest

from services.wallet import keyring
from services.wallet.directory import WalletAddresses, wallets_in


def test_wallets_and_nothing_else(tmp_path: Path) -> None:
    keyring.create(tmp_path / "bob")
    keyring.create_ethereum(tmp_path / "alice")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("public.key")
    for name in (".alice-x", "a b", "<script>", "a" * 65):
        (tmp_path / name).mkdir()
        (tmp_path / name / keyring.PUBLIC_KEY).write_text("x")
    assert wallets_in(tmp_path) == ["alice", "bob"]
    found = WalletAddresses(tmp_path, 10).all()
    assert found == {name: keyring.address_of(tmp_path / name) for name in ("alice", "bob")}


def test_wallets_that_come_and_go(tmp_path: Path) -> None:
    known = WalletAddresses(tmp_path, 10)
    assert known.all() == {}
    keyring.create(tmp_path / "alice")
    assert set(known.all()) == {"alice"}
    keyring.discard(tmp_path / "alice")
    assert known.all() == {}


def test_a_directory_that_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.create(tmp_path / "alice")
    known = WalletAddresses(tmp_path, 10)
    before = known.all()
    monkeypatch.setattr(keyring, "address_of", lambda _: pytest.fail("it was read again"))
    assert known.all() == before


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 100, b"x" * 100_000])
def test_a_key_that_cannot_be_read_is_left_out(tmp_path: Path, content: bytes) -> None:
    keyring.create(tmp_path / "alice")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / keyring.PUBLIC_KEY).write_bytes(content)
    assert set(WalletAddresses(tmp_path, 10).all()) == {"alice"}


def test_only_so_many_are_read(tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        keyring.create(tmp_path / name)
    assert set(WalletAddresses(tmp_path, 2).all()) == {"a", "b"}


def test_a_directory_that_is_not_there_has_no_wallets(tmp_path: Path) -> None:
    assert WalletAddresses(tmp_path / "none", 10).all() == {}
    (tmp_path / "file").write_text("")
    assert WalletAddresses(tmp_path / "file", 10).all() == {}
    assert wallets_in(tmp_path / "file") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read_has_no_wallets(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        assert WalletAddresses(tmp_path, 10).all() == {}
    finally:
        tmp_path.chmod(0o700)
