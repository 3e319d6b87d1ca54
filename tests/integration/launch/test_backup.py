"""`quarry backup` and `quarry restore`: a node of real processes, and a killed command at each step."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from quarrynode import QuarryNode, wire
from services.backup.checking import check
from services.launch.embedded import EmbeddedValkey
from services.launch.node_files import NodeFiles
from services.launch.reset import nodes_in
from services.launch.state import to_toml
from services.system.programs import ROOT, module_command, module_path
from tests.support import preloaded
from tests.support.backups import PASSPHRASE, ListSource, backup_of, chain_of, cheap, digests, keys_in
from tests.support.commands import done, environment, forked_quarry, quarry
from tests.support.keys import ALICE, BOB
from tests.support.nodes import TestNode, transfer
from tests.support.processes import processes_of
from tests.support.specs import mined_spec, write_spec
from tests.support.stored import assert_store_equals_replay
from tests.support.waiting import eventually

__all__ = ["cheap"]
KEYS = ("private.key", "public.key", "certificate.pem", "admin-token")


def start(directory: Path, *arguments: str, **variables: str) -> QuarryNode:
    return QuarryNode(
        forked_quarry(),
        environment={"QUARRY_KERNEL": "plain", **module_path(os.environ), **variables},
        arguments=("--workers", "1", *arguments),
        data_dir=directory,
        automine=False,
    )


def look(node: QuarryNode) -> dict[str, Any]:
    """What a backup must bring back."""
    return {
        "tip": node.status()["tip"],
        "chain": wire.ask(f"{node.url}/chain?from=1&limit=10", timeout=10),
        "mempool": [item["id"] for item in wire.ask(f"{node.url}/mempool", timeout=10)["transactions"]],
        "balance": node.rpc("eth_getBalance", ALICE.address, "latest"),
        "names": wire.ask(f"{node.url}/names", timeout=10)["names"],
    }


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode in (1, 2), result.stdout
    assert result.stderr.startswith("quarry: ") and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def test_a_node_comes_back_from_its_backup(tmp_path: Path) -> None:
    """One node: backed up while it runs, over HTTP, to a pipe, and stopped; restored, started and compared."""
    home, secret = tmp_path / "home", {"QUARRY_PASSPHRASE": "horse"}
    spec = write_spec(tmp_path / "spec.toml", mined_spec())
    file, stopped, remote = tmp_path / "node.backup", tmp_path / "stopped.backup", tmp_path / "remote.backup"
    done(home, "wallet", "new", "alice")
    with start(home, "--spec", str(spec)) as node:
        for item in (transfer(ALICE, 0), transfer(BOB, 4)):
            wire.ask(f"{node.url}/transactions/new", item, timeout=10)
        node.mine(2)
        done(home, "names", "add", ALICE.address, "the bakery")
        before = look(node)
        made = done(home, "backup", file, **secret)
        assert made["tip"] == before["tip"]
        assert (made["height"], made["keys"], made["wallets"], made["waiting"]) == (3, True, 1, 1)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        # Another user's view: neither data directory nor register has the node.
        elsewhere = {**secret, "TMPDIR": str(tmp_path / "nobody")}
        (tmp_path / "nobody").mkdir()
        asked = quarry(
            tmp_path / "nobody", "backup", remote, "--url", node.url, "--json", as_users_do=True, **elsewhere
        )
        over_http = json.loads(asked.stdout)
        assert (over_http["tip"], over_http["keys"], over_http["records"]) == (made["tip"], False, False)
        command = [sys.executable, "-m", "api.cli", "backup", "-"]
        piped = subprocess.run(command, cwd=ROOT, env=environment(home, **secret), capture_output=True, timeout=90)
        assert b"3 blocks" in piped.stderr
    files = {name: (home / "test" / "node1" / name).read_bytes() for name in KEYS}
    assert done(home, "backup", stopped, "--spec", str(spec), **secret)["tip"] == made["tip"]
    assert processes_of(home) == {}

    new = tmp_path / "new"
    restored = subprocess.run(
        [sys.executable, "-m", "api.cli", "restore", "-", "--data-dir", str(new), "--json"],
        cwd=ROOT, env=environment(home, **secret), input=piped.stdout, capture_output=True, timeout=90,
    )  # fmt: skip
    assert json.loads(restored.stdout)["waiting"] == 1, restored.stderr
    assert {name: (new / "test" / "node1" / name).read_bytes() for name in KEYS} == files
    assert (new / "wallets" / "alice" / "private.key").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")) == []
    with start(new, "--spec", str(new / "test" / "spec.toml")) as node:
        assert look(node) == before
        node.mine(1)
        assert node.status()["height"] == 4

    before_refusal = digests(home / "test" / "node1")
    refused(quarry(home, "restore", file, "--data-dir", home, **secret), f"{home} holds test already")
    refused(quarry(home, "restore", file, "--data-dir", tmp_path / "x"), "set QUARRY_PASSPHRASE")
    refused(quarry(home, "restore", file, "--data-dir", tmp_path / "x", "--spec", "dev", **secret), "another chain")
    assert digests(home / "test" / "node1") == before_refusal
    assert not (tmp_path / "x").exists()


def test_a_node_that_was_restored_without_its_chain_fetches_it_from_a_peer(cheap: None, tmp_path: Path) -> None:
    home, peer, new = tmp_path / "home", tmp_path / "peer", tmp_path / "new"
    spec, file = write_spec(tmp_path / "spec.toml", mined_spec()), tmp_path / "node.backup"
    chain = tmp_path / "chain.jsonl"
    with start(home, "--spec", str(spec)) as node:
        wire.ask(f"{node.url}/transactions/new", transfer(ALICE, 0), timeout=10)
        node.mine(3)
        done(home, "names", "add", ALICE.address, "the bakery")
        done(home, "chain", "export", chain)
        made = done(home, "backup", file, "--without-chain", QUARRY_PASSPHRASE=PASSPHRASE)
        assert (made["chain"], made["height"]) == (False, 4)
        before = look(node)
    restored = done(tmp_path, "restore", file, "--data-dir", new, QUARRY_PASSPHRASE=PASSPHRASE)
    assert (restored["chain"], restored["tip"]) == (False, before["tip"])
    key = (home / "test" / "node1" / "private.key").read_bytes()
    assert (new / "test" / "node1" / "private.key").read_bytes() == key
    with start(peer, "--spec", str(spec)) as keeps:
        done(peer, "chain", "import", chain)
        with start(new, "--spec", str(new / "test" / "spec.toml"), QUARRY_PEERS=keeps.url) as node:
            eventually(lambda: node.status()["tip"] == before["tip"], what="the peer's chain")
            assert look(node) == before


# --- A killed command ------------------------------------------------------------------------------------------------


def killed(home: Path, place: str, turn: int, *command: str | Path) -> None:
    """Run a command that is killed at a call (killed_command.py); it must get there."""
    log = home / "killed.log"
    program = preloaded.start(
        module_command("tests.support.killed_command", place, str(turn), *map(str, command)),
        environment=environment(home, QUARRY_PASSPHRASE=PASSPHRASE), log=log, directory=ROOT,
    )  # fmt: skip
    assert program.wait(60) == -signal.SIGKILL, log.read_text()
    log.unlink()


RESTORE_STEPS = [
    ("services.backup.key_files:write_new", 1),
    ("services.backup.key_files:write_new", 5),
    ("services.launch.embedded:EmbeddedValkey._await_ready", 1),  # its Valkey outlives it
    ("api.cli.chain.chain_file:Importer.take", 3),
    ("services.store.state:StateStore.renew", 1),
    ("services.backup.place:_sync", 1),
    ("services.backup.place:_rename", 1),
    ("services.backup.place:sync_directory", 4),
]


def test_a_killed_restore_leaves_no_node_and_the_next_one_succeeds(cheap: None, tmp_path: Path) -> None:
    file, new = tmp_path / "backup", tmp_path / "new"
    file.write_bytes(backup_of(ListSource(chain_of(5), keys=keys_in(tmp_path / "keys"))))
    for place, turn in RESTORE_STEPS:
        killed(tmp_path, place, turn, "restore", file, "--data-dir", new)
        assert not new.exists(), place
        assert nodes_in(tmp_path) == []  # what is left is hidden
    restored = done(tmp_path, "restore", file, "--data-dir", new, QUARRY_PASSPHRASE=PASSPHRASE)
    assert restored["height"] == 5
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    assert processes_of(tmp_path / ".new.restoring") == {}
    assert NodeFiles(new / "unit" / "node1").admin_token.exists()
    assert (new / "unit" / "spec.toml").read_text() == to_toml(ListSource([]).spec)
    # Once it has its name, a restore is complete: a kill after that loses nothing.
    killed(tmp_path, "api.cli.node.restore:_show", 1, "restore", file, "--data-dir", tmp_path / "other")
    assert digests(tmp_path / "other" / "unit" / "node1").keys() >= set(KEYS)


BACKUP_STEPS = [
    ("services.backup.content:Writer.block", 1),
    ("services.backup.sealed:Sealer.finish", 1),
    ("api.cli.node.backup:check", 1),
    ("os:fsync", 1),
    ("pathlib:Path.replace", 1),
]


def test_a_killed_backup_leaves_the_old_one(cheap: None, tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "backup"
    chain = backup_of(ListSource(chain_of(3), keys=keys_in(tmp_path / "keys")))
    (tmp_path / "first").write_bytes(chain)
    done(tmp_path, "restore", tmp_path / "first", "--data-dir", home, QUARRY_PASSPHRASE=PASSPHRASE)
    file.write_bytes(chain)
    for place, turn in BACKUP_STEPS:
        killed(home, place, turn, "backup", file)
        assert file.read_bytes() == chain, place
    made = done(home, "backup", file, QUARRY_PASSPHRASE=PASSPHRASE)
    assert made["height"] == 3
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    with file.open("rb") as source:
        assert check(source, PASSPHRASE, lambda done, total: None).manifest.tip == made["tip"]
    assert processes_of(home) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_full_disk_leaves_no_backup_and_no_node(cheap: None, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False)
    if mounted.returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        home = tmp_path / "home"
        content = backup_of(ListSource(chain_of(3), keys=keys_in(tmp_path / "keys")))
        (tmp_path / "first").write_bytes(content)
        done(tmp_path, "restore", tmp_path / "first", "--data-dir", home, QUARRY_PASSPHRASE=PASSPHRASE)
        (disk / "filling").write_bytes(bytes(62 * 1024))
        refused(quarry(home, "backup", disk / "backup", QUARRY_PASSPHRASE=PASSPHRASE), "No space left")
        result = quarry(home, "restore", tmp_path / "first", "--data-dir", disk / "new", QUARRY_PASSPHRASE=PASSPHRASE)
        refused(result)
        assert [entry.name for entry in disk.iterdir()] == ["filling"]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=False)


# --- A node of docker-compose.yml ------------------------------------------------------------------------------------


def in_container(variables: dict[str, str], *arguments: str | Path, stdin: bytes = b"") -> Any:
    """As `docker compose exec -T node1 in-node quarry …`: exit code and streams."""
    command = [sys.executable, "deploy/in_node.py", sys.executable, "-m", "api.cli", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
    return subprocess.run(
        command, cwd=ROOT, env=clean | variables, input=stdin, capture_output=True, timeout=90, check=False
    )


def test_a_node_of_a_cluster_comes_back(cheap: None, here: TestNode, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """Keys in its volume, the chain in a Valkey of its own: backed up to a pipe, restored to new volumes."""
    here.mine(here.sign(ALICE, 0))
    here.admit(ALICE, 1)
    left = here.admit(ALICE, 2)
    assert here.node.pool.drop([left.id], "expired", "age", here.clock.now()) == 1
    voucher, (_, token) = here.node.leases.vouchers.new("class"), here.node.operators.new("night shift", ["jobs"])
    here.node.operators.new("gone", ["jobs"])
    here.node.operators.revoke("gone")
    waiting, tip = here.node.pool.newest(10)[1], here.node.chain.tip()
    volume, new = tmp_path / "data", tmp_path / "new"
    spec = write_spec(tmp_path / "spec.toml", here.spec)
    variables = {
        "QUARRY_NODE": here.settings.node, "QUARRY_SPEC": str(spec), "QUARRY_REDIS_URL": valkey.url,
        "QUARRY_URL": "http://127.0.0.1:1", "QUARRY_DATA_DIR": str(volume / "node1"), "QUARRY_WALLETS": str(volume),
        "QUARRY_PASSPHRASE": PASSPHRASE,
    }  # fmt: skip
    assert in_container(variables, "wallet", "new", "alice").returncode == 0
    made = in_container(variables, "backup", "-")
    assert b"2 blocks" in made.stderr and b"and 1 wallets, 1 waiting" in made.stderr, made.stderr
    assert b"With 1 tokens, 1 vouchers and 0 payouts" in made.stderr

    other = valkey.url.removesuffix("/0") + "/1"
    # Without its data directory: `in-node` would make another key there.
    elsewhere = variables | {"QUARRY_REDIS_URL": other, "QUARRY_DATA_DIR": ""}
    refused_ = in_container(elsewhere | {"QUARRY_SPEC": "network"}, "restore", "-", "--data-dir", new, "--cluster",
                            stdin=made.stdout)  # fmt: skip
    assert b"of another chain than network" in refused_.stderr
    restored = in_container(elsewhere, "restore", "-", "--data-dir", new, "--cluster", stdin=made.stdout)
    assert restored.returncode == 0, restored.stderr
    assert b"1 tokens and 1 vouchers are valid" in restored.stdout
    assert digests(new) == digests(volume)
    with Redis.from_url(other) as redis:
        node = TestNode(redis, here.settings).node
        assert (node.chain.tip().hash, node.pool.newest(10)[1]) == (tip.hash, waiting)
        assert_store_equals_replay(node, redis)
        assert node.operators.find(token) == here.node.operators.find(token) is not None
        assert [item.name for item in node.operators.all()] == ["night shift"]
        assert node.leases.vouchers.all() == here.node.leases.vouchers.all()
        assert node.leases.take(voucher.secret, "bob", "", 1) is None  # known, and no round is open
        assert node.pool.record(left.id) == here.node.pool.record(left.id) is not None
    # The old Valkey has a block more than the backup: it is left as it is.
    here.mine()
    again = in_container(elsewhere | {"QUARRY_REDIS_URL": valkey.url}, "restore", "-", "--data-dir", tmp_path / "third",
                         "--cluster", stdin=made.stdout)  # fmt: skip
    assert b"longer chain than the backup" in again.stderr, again.stderr
    assert not (tmp_path / "third").exists()
    assert (here.node.chain.tip().height, here.node.pool.newest(10)[1]) == (3, waiting)
