"""The files of a backup are a node's secrets, wherever they are, and are written to nowhere else."""

from pathlib import Path

import pytest

from services.backup.key_files import KeyPlaces
from services.backup.sealed import BadBackup
from services.wallet import keyring
from tests.support.backups import digests, keys_in


def test_keys_come_back_with_their_modes(tmp_path: Path) -> None:
    before = keys_in(tmp_path / "a")
    (tmp_path / "a" / "dev" / "mnemonic").write_text("test test junk\n")
    (tmp_path / "a" / "wallets" / "not a wallet").mkdir()
    after = KeyPlaces(tmp_path / "b" / "dev" / "node1", tmp_path / "b" / "wallets", tmp_path / "b" / "dev")
    assert before.exist()
    assert not after.exist()
    for name, content in before.read():
        after.write(name, content)
    assert digests(tmp_path / "b") == digests(tmp_path / "a")
    assert len(digests(tmp_path / "b")) == 8
    for path in (tmp_path / "b").rglob("*"):
        public = path.name in ("public.key", "certificate.pem")
        assert path.stat().st_mode & 0o777 == (0o644 if public else 0o700 if path.is_dir() else 0o600), path
    assert keyring.load(after.node).seed == keyring.load(before.node).seed


def test_in_a_cluster_the_node_is_no_wallet_of_its_volume(tmp_path: Path) -> None:
    keyring.create(tmp_path / "node1")
    keyring.create(tmp_path / "alice")
    places = KeyPlaces(tmp_path / "node1", tmp_path, tmp_path / "node1")
    names = [name for name, _ in places.read()]
    assert "wallets/alice/private.key" in names
    assert not any("wallets/node1" in name for name in names)


def test_a_token_elsewhere_is_taken_from_there(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("elsewhere")
    found = dict(KeyPlaces(tmp_path / "none", tmp_path / "none", tmp_path, tmp_path / "token").read())
    assert found == {"node/admin-token": b"elsewhere"}


@pytest.mark.parametrize(
    "name",
    ["", "node", "node/", "/etc/passwd", "node/../x", "wallets/../private.key", "wallets/.x/private.key",
     "wallets/a/b/private.key", "node/private.key\n", "wallets/a/node.json", "chain/spec.toml"],
)  # fmt: skip
def test_no_other_name_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadBackup):
        KeyPlaces(tmp_path / "n", tmp_path / "w", tmp_path / "c").write(name, b"")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    places = keys_in(tmp_path)
    before = digests(tmp_path)
    with pytest.raises(FileExistsError):
        places.write("node/private.key", b"other")
    assert digests(tmp_path) == before
