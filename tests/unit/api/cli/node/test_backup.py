"""`quarry backup` and `quarry restore` without processes: what is asked, what is refused, and that nothing is left."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.chain.stores import node_on
from api.cli.group import Failure
from api.cli.node.backup import ATTEMPTS, write_backup
from api.cli.node.backup_source import Records
from services.backup.checking import check
from services.backup.sealed import BadBackup
from services.connections.servers import connect_for_jobs
from services.errors import Pruned
from services.launch.embedded import EmbeddedValkey
from services.system.programs import ROOT
from services.wallet import keyring
from shared.canonical import canonical
from shared.rules import rules_for
from tests.support.backups import PASSPHRASE, ListSource, backup_of, chain_of, cheap, digests, keys_in
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode, make_chain
from tests.support.keys import KEYS
from tests.support.nodes import transfer

__all__ = ["cheap"]
pytestmark = pytest.mark.usefixtures("own_environment", "cheap")


@pytest.fixture(params=[True, False], ids=["whole", "without the chain"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "node.backup"
    source = ListSource(chain_of(3), keys=keys_in(tmp_path / "keys"))
    path.write_bytes(backup_of(source, with_chain=request.param))
    return path


def test_a_reorganised_chain_is_read_again_a_few_times() -> None:
    chain = chain_of(3)
    output = io.BytesIO()
    found = write_backup(ListSource(chain, moves=ATTEMPTS - 1), PASSPHRASE, output, lambda done, total: None)
    assert found.manifest.height == 3
    output.seek(0)
    assert check(output, PASSPHRASE, lambda done, total: None) == found
    with pytest.raises(Failure, match="reorganised at every attempt"):
        write_backup(ListSource(chain, moves=ATTEMPTS), PASSPHRASE, io.BytesIO(), lambda done, total: None)


def test_a_damaged_block_makes_no_backup() -> None:
    chain = chain_of(4)
    block = json.loads(chain[1])
    chain[1] = canonical(block | {"timestamp": block["timestamp"] + 1})
    with pytest.raises(BadBackup, match=r"so there is no backup: Block 3 .* does not follow"):
        backup_of(ListSource(chain))


def test_over_http_it_holds_the_chain_alone_and_says_so(tmp_path: Path) -> None:
    node, file = FakeNode(), tmp_path / "out"
    try:
        node.serve_chain(make_chain(3))
        chain = chain_of(3)
        tip = rules_for(SPEC).read_block(json.loads(chain[2])).hash
        genesis = rules_for(SPEC).genesis().hash
        node.answers["/status"] = 200, {"node": "node1", "height": 3, "tip": tip}
        node.answers["/blocks/3"] = 200, {"hash": tip}
        node.answers["/blocks/1"] = 200, {"hash": genesis}
        result = run("backup", file, "--url", node.url)
        assert result.exit_code == 0, result.output
        assert "Without keys, mempool and records" in result.stdout
        with file.open("rb") as source:
            found = check(source, PASSPHRASE, lambda done, total: None).manifest
        assert (found.height, found.keys, found.records) == (3, False, False)
        assert found.tip == tip
        node.answers["/status"] = 200, {"node": "node1", "height": 3, "tip": "00" * 32}
        before = file.read_bytes()
        refused(run("backup", file, "--url", node.url), 1, "reorganised at every attempt")
        assert file.read_bytes() == before
        refused(run("backup", "-", "--json", "--url", node.url), 2, "--json prints to standard output")
    finally:
        node.close()


def test_without_a_passphrase_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUARRY_PASSPHRASE")
    refused(run("backup", tmp_path / "out", "--url", "http://127.0.0.1:1"), 2, "set QUARRY_PASSPHRASE")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "")
    refused(run("backup", tmp_path / "out", "--url", "http://127.0.0.1:1"), 2, "must not be empty")
    assert not (tmp_path / "out").exists()


def test_without_a_node_nothing_is_written(tmp_path: Path) -> None:
    refused(run("backup", tmp_path / "out"), 1, "There is no such node in", "--url")
    refused(run("backup", tmp_path / "out", "--url", "http://127.0.0.1:1"), 3, "No node answers")
    for name in ("node1", "node2"):
        (tmp_path / "home" / "dev" / name / "valkey").mkdir(parents=True)
    refused(run("backup", tmp_path / "out"), 1, "several nodes", "dev/node1, dev/node2", "--node")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "This is not a backup of Quarry."),
        (lambda content: b"x" * 200_000, "This is not a backup of Quarry."),
        (lambda content: content[:-1], "cut off or was altered after byte"),
        (lambda content: content[:200] + b"?" + content[201:], "altered after byte"),
        (
            lambda content: content.replace(b" 2\n", b" 9\n", 1).replace(b" 3\n", b" 9\n", 1),
            "has version 9; this release reads versions 1 to 3.",
        ),
        # Which of the two versions it has is authenticated.
        (
            lambda content: content.translate(bytes.maketrans(b"23", b"32"))[:15] + content[15:],
            "does not open the backup, or the first lines of the backup were altered.",
        ),
    ],
)
def test_bad_backups_are_one_sentence_and_leave_nothing(  # type: ignore[no-untyped-def]
    file: Path, tmp_path: Path, change, message: str
) -> None:
    file.write_bytes(change(file.read_bytes()))
    before = digests(tmp_path)
    refused(run("restore", file, "--data-dir", tmp_path / "new"), 1, message)
    refused(run("restore", "-", "--data-dir", tmp_path / "new", stdin=file.read_bytes()), 1, message)
    assert digests(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_other_refusals_of_a_restore(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "new"
    refused(run("restore", file, "--data-dir", new, "--spec", "dev"), 1, "of another chain than dev: of unit")
    refused(run("restore", tmp_path / "none", "--data-dir", new), 1, "No such file")
    refused(run("restore", file, "--data-dir", new, "--cluster"), 1, "--redis-url")
    refused(run("restore", file, "--data-dir", tmp_path / "keys"), 1, "holds dev already")
    monkeypatch.setenv("QUARRY_PASSPHRASE", "donkey")
    refused(run("restore", file, "--data-dir", new), 1, "This passphrase does not open the backup")
    assert not new.exists()


def test_a_chain_that_breaks_a_rule_is_not_restored(tmp_path: Path) -> None:
    """Whole by its hashes, but a block is older than the one before it."""
    chain = make_chain(3)
    chain[2]["timestamp"] = SPEC.genesis_timestamp - 10
    file = tmp_path / "file"
    file.write_bytes(backup_of(ListSource([canonical(block) for block in chain], keys=keys_in(tmp_path / "keys"))))
    result = run("restore", file, "--data-dir", tmp_path / "new")
    refused(result, 1, "Block 3")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "keys"]


def test_a_backup_without_keys_makes_a_node_that_gets_its_own(tmp_path: Path) -> None:
    file, new = tmp_path / "file", tmp_path / "new"
    file.write_bytes(backup_of(ListSource(chain_of(3), name="miner-7")))
    result = run("restore", file, "--data-dir", new)
    assert "gets a new key" in result.stdout, result.output
    assert f"QUARRY_DATA_HOME={new} QUARRY_NODE=miner-7 quarry up --spec {new}/unit/spec.toml" in result.stdout
    assert not (new / "unit" / "miner-7" / keyring.PRIVATE_KEY).exists()
    assert (new / "unit" / "miner-7" / "valkey").is_dir()


def test_a_pruned_node_is_backed_up_without_its_chain(tmp_path: Path) -> None:
    """Keys, names and what is due come back, and what waited has a record: its sender has nothing on this chain yet."""
    file, new = tmp_path / "file", tmp_path / "new"
    waiting = transfer(KEYS[90], 0, chain_id=SPEC.chain_id)
    records = Records([canonical(waiting)], [], {KEYS[90].address: "the bakery"}, [("share", "12 - - w1")])
    source = ListSource(chain_of(3), keys=keys_in(tmp_path / "keys"), kept=records, whole_from=3)
    file.write_bytes(backup_of(source))
    assert file.read_bytes().startswith(b"quarry-backup 3\n")
    result = run("restore", file, "--data-dir", new)
    assert result.exit_code == 0, result.output
    for words in (
        "without the chain, which had 3 blocks",
        "1 transactions waited",
        "QUARRY_PEERS",
        "With the node's key",
    ):
        assert words in result.stdout
    assert digests(new)["unit/node1/private.key"] == digests(tmp_path / "keys")["dev/node1/private.key"]
    with EmbeddedValkey(new / "unit" / "node1" / "valkey") as valkey:
        found = node_on(connect_for_jobs(valkey.url), valkey.url, "node1", SPEC)
        assert found.chain.tip().height == 1 and found.names.given() == records.names
        record = found.pool.record(found.rules.read_request(waiting).id)
        assert record is not None and record["status"] == "dropped" and "send it again" in record["reason"]


def test_without_its_chain_nothing_is_left_of_a_node_elsewhere() -> None:
    elsewhere = ListSource(chain_of(3), kept=None)
    with pytest.raises(Failure, match="leaves nothing of a node on another machine"):
        backup_of(elsewhere, with_chain=False)
    elsewhere.whole_from = 2
    with pytest.raises(Failure, match=r"only from height 2 on .* run the command there"):
        backup_of(elsewhere)


def test_blocks_that_are_pruned_while_they_are_read_are_left_out() -> None:
    source = ListSource(chain_of(3))

    def blocks(height: int) -> Iterator[bytes]:
        yield from source.chain[:1]
        source.whole_from = 3
        raise Pruned(3)

    source.blocks = blocks  # type: ignore[method-assign]
    assert backup_of(source).startswith(b"quarry-backup 3\n")


@pytest.mark.parametrize(("version", "chain", "items"), [(1, True, 0), (2, True, 1), (3, False, 1)])
def test_a_backup_of_each_version_is_restored(tmp_path: Path, version: int, chain: bool, items: int) -> None:
    """As releases wrote them: without tokens, vouchers and payouts; with these; without the chain. Never change one."""
    file, new = tmp_path / "file", tmp_path / "new"
    kept = json.loads((ROOT / f"tests/unit/services/backup/version_{version}.json").read_text())
    file.write_bytes(base64.b64decode(kept["backup"]))
    assert file.read_bytes().startswith(f"quarry-backup {version}\n".encode())
    result = run("restore", file, "--data-dir", new, "--json")
    found = json.loads(result.stdout)
    assert (found["height"], found["keys"], found["wallets"], found["chain"]) == (3, True, 1, chain)
    assert [found[name] for name in ("tokens", "vouchers", "payouts")] == [items] * 3
    assert (new / "unit" / "node1" / keyring.PRIVATE_KEY).exists()
