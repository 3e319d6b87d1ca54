"""Removing the chains of stopped nodes, and `quarry reset`, which asks first."""

import fcntl
import os
from pathlib import Path

import pytest

from api.cli import terminal
from services.launch.made_chain import MadeFiles, Wish, make
from services.launch.node_files import NodeFiles
from services.launch.ownership import AlreadyRunning, Ownership
from services.launch.reset import nodes_in, reset
from tests.support.cli import refused, run
from tests.support.fake_node import record

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with the wallet alice."""
    assert run("wallet", "new", "alice").exit_code == 0
    return tmp_path / "home"


def stopped(home: Path, spec: str = "dev", name: str = "node1") -> NodeFiles:
    """A node that has run and stopped."""
    files = NodeFiles(home / spec / name)
    files.prepare()
    files.valkey.mkdir()
    (files.valkey / "appendonly.aof").write_text("blocks")
    (files.logs / "api.log").write_text("x\n")
    return files


def kept(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and "wallets" not in path.parts}


KEYS = {"dev/node1/private.key", "dev/node1/public.key", "dev/node1/certificate.pem", "dev/node1/admin-token"}


def test_the_chain_goes_and_keys_and_wallets_stay(home: Path) -> None:
    stopped(home)
    wallet = {path: path.read_bytes() for path in (home / "wallets" / "alice").iterdir()}
    result = run("reset", "--yes")
    assert result.stdout == "Removed the chain of dev/node1; `quarry up` begins a new one.\n"
    assert kept(home) == KEYS
    assert {path: path.read_bytes() for path in (home / "wallets" / "alice").iterdir()} == wallet
    refused(run("reset", "--yes"), 1, "nothing to remove")


def test_keys_go_if_they_are_named(home: Path) -> None:
    stopped(home)
    assert run("reset", "--yes", "--keys", "--json").stdout == '{"removed": ["dev/node1"], "keys": true}\n'
    assert kept(home) == set() and (home / "wallets" / "alice" / "private.key").exists()


@pytest.mark.parametrize(
    ("answer", "removed"), [("y", True), ("YES", True), ("", False), ("n", False), ("yess", False), ("dev", False)]
)
def test_it_asks_first(home: Path, monkeypatch: pytest.MonkeyPatch, answer: str, removed: bool) -> None:
    files = stopped(home)
    monkeypatch.setattr(terminal, "is_attended", lambda: True)
    result = run("reset", stdin=answer + "\n")
    assert "Remove the chain (the keys stay) of dev/node1?" in result.stderr and str(files.directory) in result.stderr
    assert files.valkey.exists() is not removed and result.exit_code == (0 if removed else 1)


def test_without_a_terminal_it_removes_nothing(home: Path) -> None:
    files = stopped(home)
    refused(run("reset"), 2, "--yes")
    assert files.valkey.exists()


def test_a_node_that_runs_is_refused_and_so_are_the_others(home: Path) -> None:
    one, two = stopped(home), stopped(home, name="node2")
    two.write_record(record("http://127.0.0.1:1", two.directory))
    refused(run("reset", "--yes"), 1, "dev/node2 runs", "Ctrl-C")
    assert one.valkey.exists() and two.valkey.exists()
    two.write_record(record("http://127.0.0.1:1", two.directory, started="long ago"))  # it was killed
    assert run("reset", "--yes").exit_code == 0
    assert not one.valkey.exists() and not two.valkey.exists() and not two.record.exists()


def test_a_node_that_is_just_starting_is_refused(home: Path) -> None:
    files = stopped(home)
    Ownership(files.valkey, 0.0).record(None)  # this process is the owner
    lock = os.open(files.valkey / "starting.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        [node] = nodes_in(home)
        with pytest.raises(AlreadyRunning, match="in use by process"):
            reset(node, keys=False)
    finally:
        os.close(lock)
    assert (files.valkey / "appendonly.aof").exists() and (files.logs / "api.log").exists()


def test_of_several_chains_one_has_to_be_named(home: Path) -> None:
    dev, tutorial = stopped(home), stopped(home, "tutorial")
    refused(run("reset", "--yes"), 2, "dev and tutorial", "--spec NAME")
    refused(run("reset", "--yes", "--spec", "tutorail"), 2, "Did you mean tutorial?")
    refused(run("reset", "--yes", "--spec", "x" * 9000), 2, "There is no chain")
    assert run("reset", "--yes", "--spec", "tutorial").exit_code == 0
    assert dev.valkey.exists() and not tutorial.valkey.exists()


def test_what_is_no_node_is_left_alone(home: Path, tmp_path: Path) -> None:
    stopped(home, "ephemeral-abc")  # ends with its owner
    (home / "notes" / "mine").mkdir(parents=True)
    (home / "notes" / "mine" / "file").write_text("x")
    outside = stopped(tmp_path / "outside")
    (home / "linked").mkdir()
    (home / "linked" / "node1").symlink_to(outside.directory)
    refused(run("reset", "--yes", "--keys"), 1, "nothing to remove")
    assert outside.valkey.exists() and (home / "notes" / "mine" / "file").exists()
    refused(run("reset", "--yes", "--data-dir", tmp_path / "nowhere"), 1, "nothing to remove")
    (tmp_path / "file").write_text("")
    refused(run("reset", "--yes", "--data-dir", tmp_path / "file"), 2, "--data-dir")


def test_a_made_chain_keeps_its_spec_unless_the_keys_go(home: Path) -> None:
    stopped(home, "local")
    stopped(home, "local", "node2")
    made = MadeFiles(home / "local")
    made.write(make(Wish(accounts=2)))
    assert run("reset", "--yes").exit_code == 0 and made.exist() and made.mnemonic.exists()
    assert run("reset", "--yes", "--keys").exit_code == 0 and not made.exist() and not made.mnemonic.exists()
