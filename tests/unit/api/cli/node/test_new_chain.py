"""Which chain the options of `quarry up` mean in a data directory, and the file of --config-out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.cli.group import Failure
from api.cli.node.new_chain import Place, place, require_writable, write_config
from services.errors import BadSettings
from services.launch.made_chain import MadeFiles, Wish, make
from services.wallet.development import PHRASE, derived
from shared.amounts import COIN


def begin(home: Path, wish: Wish) -> MadeFiles:
    """A kept chain on which a node has been made."""
    files = MadeFiles(home / "local")
    files.write(make(wish))
    (files.directory / "node1").mkdir()
    (files.directory / "node1" / "private.key").touch()
    return files


def test_without_options_nothing_is_made(tmp_path: Path) -> None:
    with place(tmp_path, Wish(), None, False) as found:
        assert found == Place(tmp_path)
        assert found.spec is None
        assert found.files_of("dev", "node1").directory == tmp_path / "dev" / "node1"
        assert found.with_its({"QUARRY_KERNEL": "plain"}) == {"QUARRY_KERNEL": "plain"}
    assert list(tmp_path.iterdir()) == []


def test_options_make_a_chain_that_goes_on_without_them_and_with_the_same(tmp_path: Path) -> None:
    wish = Wish(accounts=2, random_phrase=True)
    with place(tmp_path, wish, None, False) as found:
        assert found.is_new
        assert found.made is not None
        made = found.made.read()
        assert found.files_of("dev", "node1").directory == tmp_path / "local" / "node1"
        assert found.spec == str(tmp_path / "local" / "spec.toml")
        assert found.with_its({}) == {"QUARRY_DEVELOPMENT_MNEMONIC_FILE": str(tmp_path / "local" / "mnemonic")}
    (tmp_path / "local" / "node1").mkdir()
    (tmp_path / "local" / "node1" / "private.key").touch()
    for same in (Wish(), wish, Wish(accounts=2), Wish(phrase=made.phrase)):
        with place(tmp_path, same, None, False) as again:
            assert not again.is_new
            assert again.made is not None
            assert again.made.read() == made


def test_other_options_are_refused_with_what_is_kept_and_the_way_out(tmp_path: Path) -> None:
    files = begin(tmp_path, Wish(accounts=2, chain_id=5))
    before = files.read()
    with pytest.raises(Failure) as caught, place(tmp_path, Wish(accounts=3, chain_id=6), None, False):
        pass
    for word in ("--accounts 2 and --chain-id 5", "--ephemeral", "--data-dir", str(files.directory)):
        assert word in caught.value.message
    assert files.read() == before


def test_a_chain_on_which_no_node_was_made_is_replaced(tmp_path: Path) -> None:
    """The first start may have failed, such as on a port that is in use."""
    MadeFiles(tmp_path / "local").write(make(Wish(accounts=2)))
    with place(tmp_path, Wish(accounts=3), None, False) as found:
        assert found.is_new
        assert found.made is not None
        assert len(found.made.read().spec.allocations) == 3


@pytest.mark.parametrize("named", ["--spec", "QUARRY_SPEC", "QUARRY_DEVELOPMENT_MNEMONIC_FILE"])
def test_another_chain_that_is_named_wins_over_the_kept_one_and_contradicts_options(tmp_path: Path, named: str) -> None:
    begin(tmp_path, Wish())
    with place(tmp_path, Wish(), named, False) as found:
        assert found.made is None
    with pytest.raises(Failure, match=f"--balance makes a chain, and {named}"):
        with place(tmp_path, Wish(balance=1), named, False):
            pass


@pytest.mark.parametrize("wish", [Wish(phrase="no phrase"), Wish(chain_id=847731), Wish(balance=2**256)])
@pytest.mark.parametrize("ephemeral", [False, True])
def test_options_that_cannot_be_used_write_nothing(tmp_path: Path, wish: Wish, ephemeral: bool) -> None:
    with pytest.raises(BadSettings), place(tmp_path / "home", wish, None, ephemeral):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wish", [Wish(), Wish(accounts=3)])
def test_an_ephemeral_chain_leaves_the_kept_one_alone_and_goes(tmp_path: Path, wish: Wish) -> None:
    files = begin(tmp_path, Wish(accounts=2))
    with place(tmp_path, wish, None, True) as found:
        assert found.directory.parent == tmp_path
        assert found.files_of("dev", "node1").directory == found.directory / "node1"
        assert (found.made is None) == (not wish.names())
        assert found.with_its({})["QUARRY_DURABILITY"] == "unsafe"
        assert found.with_its({"QUARRY_DURABILITY": "always"})["QUARRY_DURABILITY"] == "always"
    assert list(tmp_path.iterdir()) == [files.directory]


# --- --config-out -----------------------------------------------------------------------------------------------------


def written(file: Path, **more: Any) -> Any:
    write_config(file, derived(PHRASE, 2), PHRASE, more)
    return json.loads(file.read_text())


def test_the_file_has_what_anvils_has_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text("older")
    file.chmod(0o644)
    found = written(file, chain_id=31337, genesis_timestamp="5")
    accounts = derived(PHRASE, 2)
    assert found == {
        "available_accounts": [account.address for account in accounts],
        "private_keys": [account.private_key for account in accounts],
        "wallet": {"derivation_path": "m/44'/60'/0'/0/", "mnemonic": PHRASE},
        "chain_id": 31337,
        "genesis_timestamp": "5",
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path: Path) -> None:
    require_writable(tmp_path / "config.json")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "directory", tmp_path / "pipe", tmp_path / "none" / "config.json", Path("/dev/null")):
        with pytest.raises(Failure, match="--config-out: "):
            require_writable(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_another_user_is_refused_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Failure, match="cannot be written"):
        require_writable(tmp_path / "config.json")


def test_a_balance_is_in_base_units() -> None:
    assert make(Wish(balance=3 * COIN)).balance == 3 * COIN
