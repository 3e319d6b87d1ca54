"""Backups and chain files of chains with packed blocks, sealers and upgrades; and of nodes that lack the upgrades."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from api.cli.chain.verification import verify_chain
from api.cli.client import NodeClient
from api.cli.group import Failure
from services.audit import ahead
from services.connections.servers import as_store
from services.launch.embedded import EmbeddedValkey
from services.launch.state import to_toml
from services.registry import register
from services.store import packing
from services.wallet import keyring
from shared import keys
from shared.chain_spec import ChainSpec
from shared.upgrades import read_upgrades, signed, to_object
from tests.support.backups import PASSPHRASE, cheap
from tests.support.chains import sealed
from tests.support.cli import refused, run
from tests.support.keys import ALICE, BOB, CAROL
from tests.support.nodes import TestNode, make_settings, mine
from tests.support.specs import make_spec
from tests.support.stored import assert_store_equals_replay

__all__ = ["cheap"]
pytestmark = pytest.mark.usefixtures("elsewhere", "cheap")
SPEC = make_spec(sealers=[ALICE.address])
FORK = 4


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of whoever runs the tests, and a data directory of the test's own."""
    for name in [name for name in os.environ if name.startswith("QUARRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("QUARRY_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path / "home"))


def upgraded(height: int = FORK) -> ChainSpec:
    changes = {"sealers": [ALICE.address, BOB.address], "difficulty": 128}
    upgrades = {"spec": SPEC.hash, "upgrades": [{"height": height, "changes": changes}]}
    drafted, _ = signed(read_upgrades(upgrades, SPEC, agreed=False), ALICE)
    return read_upgrades(to_object(drafted), SPEC)


@pytest.fixture
def here(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestNode:
    """A chain of ten blocks, upgraded at the fourth, the first ones in packs."""
    monkeypatch.setattr(packing, "BLOCKS", 2)
    keyring.store(tmp_path / "alice", ALICE.seed)
    settings = make_settings(upgraded(), sealer_key_file=tmp_path / "alice" / "private.key")
    here = TestNode(redis, settings)
    here.node.begin()
    for nonce in range(9):
        here.admit(CAROL, nonce)
        mine(here.node)
    packs = packing.PackStore(as_store(redis), here.node.chain.keys)
    while packs.pack_next(3, here.clock.now):
        pass
    assert packs.totals().blocks > FORK
    return here


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.toml"
    path.write_text(to_toml(SPEC))
    return path


@pytest.fixture
def schedule(tmp_path: Path) -> Path:
    path = tmp_path / "upgrades.json"
    path.write_text(json.dumps(to_object(upgraded())))
    return path


def chain_file(here: TestNode, path: Path, *, height: int = 10, upgrades: bool = True) -> Path:
    """As `quarry chain export` writes it."""
    found = here.node.rules.spec
    head = {"spec": found.to_object(), "genesis": here.node.chain.hash_at(1)}
    head |= {"upgrades": to_object(found)} if upgrades else {}
    path.write_bytes(b"\n".join([json.dumps(head).encode(), *here.node.chain.stream(1, height)]) + b"\n")
    return path


def other_node(here: TestNode, spec: ChainSpec, name: str) -> TestNode:
    """A node that has begun under `spec`, whose chain is empty."""
    made = TestNode(here.redis, make_settings(spec, node=name), clock=here.clock)
    made.node.begin()
    return made


def test_a_packed_sealed_and_upgraded_chain_comes_back_from_a_backup(
    here: TestNode, valkey: EmbeddedValkey, spec: Path, schedule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, new, tip = tmp_path / "file", tmp_path / "new", here.node.chain.tip()
    source = ("--redis-url", valkey.url, "--node", here.settings.node, "--spec", spec)
    # Without the upgrades, the backup could not be restored.
    refused(run("backup", file, *source), 1, f"from height {FORK} on", "QUARRY_UPGRADES_FILE")
    assert not file.exists()
    monkeypatch.setenv("QUARRY_UPGRADES_FILE", str(schedule))
    assert run("backup", file, *source).exit_code == 0
    monkeypatch.delenv("QUARRY_UPGRADES_FILE")

    result = run("restore", file, "--data-dir", new)
    assert f"QUARRY_UPGRADES_FILE={new}/test/upgrades.json" in result.stdout, result.output
    assert json.loads((new / "test" / "upgrades.json").read_text()) == to_object(upgraded())
    other = valkey.url.removesuffix("/0") + "/1"
    result = run("restore", file, "--data-dir", tmp_path / "volume", "--cluster", "--redis-url", other)
    assert result.exit_code == 0, result.output
    with Redis.from_url(other) as redis:
        made = TestNode(redis, here.settings, clock=here.clock)
        assert made.node.chain.tip() == tip
        assert list(made.node.chain.stream(1, tip.height)) == list(here.node.chain.stream(1, tip.height))
        assert_store_equals_replay(made.node, redis)
        made.node.begin()  # under the same upgrades
        redis.flushdb()


def imported(file: Path, valkey: EmbeddedValkey, node: TestNode) -> Any:
    return run("chain", "import", file, "--redis-url", valkey.url, "--node", node.settings.node)


def test_a_node_that_has_the_upgrades_imports_the_chain(
    here: TestNode, valkey: EmbeddedValkey, schedule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, tip = chain_file(here, tmp_path / "file"), here.node.chain.tip().hash
    with_them = other_node(here, upgraded(), "with-them")
    assert imported(file, valkey, with_them).exit_code == 0
    assert with_them.node.chain.tip().hash == tip
    assert_store_equals_replay(with_them.node, here.redis)
    # A node that has not begun yet, in a container whose environment names the file.
    monkeypatch.setenv("QUARRY_UPGRADES_FILE", str(schedule))
    unbegun = TestNode(here.redis, make_settings(upgraded(), node="unbegun"), clock=here.clock)
    assert imported(file, valkey, unbegun).exit_code == 0
    assert unbegun.node.chain.tip().hash == tip


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Commands have a helper process for signatures at once. Whether it had answered at the end of each."""
    used: list[bool] = []

    class Helped(ahead.Ahead):
        def __init__(self) -> None:
            super().__init__(0)
            self.start()

        def __exit__(self, *error: Any) -> None:
            used.append(self.has_helper and not self._sent)
            super().__exit__(*error)

    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    monkeypatch.setattr(ahead, "_BATCH_BLOCKS", 2)
    monkeypatch.setattr(ahead, "_SENT", 100)  # all are sent, also to a helper that is behind
    monkeypatch.setattr("api.cli.chain.chain_file.Ahead", Helped)
    monkeypatch.setattr("api.cli.chain.verification.Ahead", Helped)
    return used


def test_an_import_whose_signatures_a_helper_checks(
    here: TestNode, valkey: EmbeddedValkey, tmp_path: Path, helped: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = chain_file(here, tmp_path / "file")
    node = other_node(here, upgraded(), "helped")
    lines = file.read_bytes().splitlines(keepends=True)

    # A signature of another block in the seventh, with all blocks before it in order.
    block, before = json.loads(lines[7]), json.loads(lines[6])
    block["sealer_signature"] = before["sealer_signature"]
    del block["proof"]
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"".join([*lines[:7], json.dumps(sealed(block, 128)).encode() + b"\n", *lines[8:]]))
    result = imported(wrong, valkey, node)
    assert result.exit_code == 1 and "Block 7 breaks the rule sealer_signature_invalid" in result.stderr
    assert node.node.chain.tip().height == 6

    cut = tmp_path / "cut"
    cut.write_bytes(b"".join(lines[:9]) + lines[9][:50])
    result = imported(cut, valkey, node)
    assert result.exit_code == 1 and "Line 10 of the file is not a block; the file ends in the middle" in result.stderr
    assert node.node.chain.tip().height == 8

    checked: list[bytes] = []
    monkeypatch.setattr(keys, "verify", lambda key, message, signature: checked.append(message) or True)
    assert imported(file, valkey, node).exit_code == 0
    assert node.node.chain.tip().hash == here.node.chain.tip().hash
    assert len(helped) == 3 and helped[2]
    assert [message[:16] for message in checked] == [b"quarry-upgrade:{"]  # the helper has checked all others
    monkeypatch.undo()
    assert_store_equals_replay(node.node, here.redis)


@pytest.mark.parametrize("known", [0, 4, 10], ids=["none of them", "the first ones", "all of them"])
@pytest.mark.parametrize(
    ("changes", "code"),
    [({"index": 8}, "wrong_index"), ({"previous_hash": "0" * 64}, "wrong_previous_hash"), (None, "wrong_index")],
    ids=["index", "previous_hash", "left out"],
)
def test_a_block_that_does_not_follow_the_one_before_it_in_the_file(
    here: TestNode, valkey: EmbeddedValkey, tmp_path: Path, changes: dict[str, Any] | None, code: str, known: int
) -> None:
    file = chain_file(here, tmp_path / "file")
    lines = file.read_bytes().splitlines(keepends=True)
    node = other_node(here, upgraded(), "gap")
    if known:
        first = tmp_path / "first"
        first.write_bytes(b"".join(lines[: known + 1]))
        assert imported(first, valkey, node).exit_code == 0
    if changes is None:
        del lines[7]
    else:
        block = json.loads(lines[7]) | changes
        del block["proof"]
        lines[7] = json.dumps(sealed(block, 128)).encode() + b"\n"
    file.write_bytes(b"".join(lines))
    for _ in range(2):  # the same answer again: it is the file, not a node whose chain moved
        refused(imported(file, valkey, node), 1, f"Block 7 breaks the rule {code}")
        assert node.node.chain.tip().height == max(known, 6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("duplicate", "A JSON object has the same key twice. (duplicate_key)"),
        ("float", "JSON fractions and exponents are refused. (float_refused)"),
        ("deep", "JSON is nested deeper than 32 levels. (too_deep)"),
    ],
)
def test_the_lines_of_a_chain_file_are_strict_json(
    here: TestNode, valkey: EmbeddedValkey, tmp_path: Path, name: str, said: str
) -> None:
    file = chain_file(here, tmp_path / "file")
    lines = file.read_bytes().splitlines(keepends=True)
    block = json.loads(lines[7])
    texts = {
        # The value of the block is the same; only readers that take the first one would see another.
        "duplicate": b'{"index": 1, ' + lines[7][1:],
        "float": json.dumps(block | {"timestamp": float(block["timestamp"])}).encode() + b"\n",
        "deep": b"[" * 100_000 + b"]" * 100_000 + b"\n",
    }
    lines[7] = texts[name]
    file.write_bytes(b"".join(lines))
    node = other_node(here, upgraded(), "strict")
    refused(imported(file, valkey, node), 1, f"{file}: Line 8 of the file is not strict JSON", said)
    assert node.node.chain.tip().height == 6


def test_the_tutorials_blocks_may_hold_fractions(redis: Redis, valkey: EmbeddedValkey, tmp_path: Path) -> None:
    spec = make_spec(rules="tutorial", allocations={}, difficulty=16)
    there = TestNode(redis, make_settings(spec))
    there.node.begin()
    there.clock.time += 0.5
    mine(there.node)
    file = chain_file(there, tmp_path / "file", height=2, upgrades=False)
    assert isinstance(json.loads(file.read_bytes().splitlines()[2])["timestamp"], float)
    node = other_node(there, spec, "fractions")
    assert imported(file, valkey, node).exit_code == 0
    assert node.node.chain.tip() == there.node.chain.tip()


@pytest.mark.parametrize("sent", [True, False], ids=["sent to the helper", "kept here"])
@pytest.mark.parametrize("height", [2, 3, 5, 10])  # the first ones are read from packs
def test_verifying_finds_a_bad_signature_wherever_it_is(
    here: TestNode, helped: list[bool], monkeypatch: pytest.MonkeyPatch, height: int, sent: bool
) -> None:
    if not sent:
        monkeypatch.setattr(ahead, "_SENT", 0)
    blocks = [json.loads(text) for text in here.node.chain.stream(1, 10)]
    client = SimpleNamespace(blocks=lambda: ((block, 10) for block in blocks))
    verified = verify_chain(cast(NodeClient, client), upgraded(), lambda reached, length: None)
    assert verified.replay.claim.hash == here.node.chain.tip().hash and helped == [True]

    wrong, other = blocks[height - 1], blocks[height - 2 or 2]  # genesis has no signature
    wrong["sealer_signature"] = other["sealer_signature"]
    del wrong["proof"]
    blocks[height - 1] = sealed(wrong, wrong["difficulty"])
    with pytest.raises(Failure, match=f"Block {height} breaks the rule sealer_signature_invalid"):
        verify_chain(cast(NodeClient, client), upgraded(), lambda reached, length: None)


def test_a_node_that_lacks_an_upgrade_is_told_which_and_imports_nothing(
    here: TestNode, valkey: EmbeddedValkey, schedule: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = chain_file(here, tmp_path / "file")
    for name, has in (("lacks", SPEC), ("other", upgraded(6))):
        node = other_node(here, has, name)
        refused(
            imported(file, valkey, node), 1, f"node {name} differ", f"from height {FORK} on", "QUARRY_UPGRADES_FILE"
        )
        assert node.node.chain.tip().height == 1
    schedule.write_text(json.dumps(to_object(upgraded(7))))
    monkeypatch.setenv("QUARRY_UPGRADES_FILE", str(schedule))
    refused(imported(file, valkey, other_node(here, upgraded(), "with-them")), 1, f"from height {FORK} on")


def test_a_file_from_before_the_upgrade_was_agreed_fits_a_node_that_has_it(
    here: TestNode, valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    early = chain_file(here, tmp_path / "early", height=FORK - 1, upgrades=False)
    node = other_node(here, upgraded(), "with-them")
    # Only heights and digests of its upgrades are known, as of a node in a container.
    refused(imported(early, valkey, node), 1, "QUARRY_UPGRADES_FILE")
    register(as_store(here.redis), node.settings)
    assert imported(early, valkey, node).exit_code == 0
    assert node.node.chain.tip().height == FORK - 1
    assert imported(chain_file(here, tmp_path / "whole"), valkey, node).exit_code == 0
    assert node.node.chain.tip().hash == here.node.chain.tip().hash
