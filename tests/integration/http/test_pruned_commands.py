"""What the commands say of a node that has pruned old bodies."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.cli.client import NodeClient
from api.cli.node import doctor
from api.cli.node.machine import Trouble
from services.node import Node
from services.store import packing
from tests.integration.conftest import MakeNode
from tests.support.cli import run
from tests.support.keys import ALICE, MINER, TOKEN
from tests.support.nodes import grow, redis_of, transfer
from tests.support.serving import serving
from tests.support.specs import write_spec
from tests.support.stored import dump

KEPT_FROM = 11  # of 16 blocks


@pytest.fixture
def pruned(make_node: MakeNode, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(packing, "BLOCKS", 5)
    node = make_node(spec={"difficulty": 1}, PACK_DEPTH="1")
    for i in range(15):
        grow(node, transfer(ALICE, i))
    node.chain.schema.adopt(0, prunes=True)
    node.packer.run()
    assert replace(node.packer, keep=6).run() == 10 and node.chain.kept_from() == KEPT_FROM
    return node


@pytest.fixture
def url(pruned: Node) -> Iterator[str]:
    with serving(create_app(pruned, TOKEN)) as found:
        yield found


def failed(*arguments: str | Path, saying: tuple[str, ...]) -> str:
    """The output of a command that ends with one sentence on standard error and exit code 1."""
    result = run(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    last = result.stderr.splitlines()[-1]
    assert last.startswith("quarry: ") and all(word in last for word in saying), result.output
    return result.output


def told(*arguments: str | Path) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_verify_checks_all_headers_and_the_bodies_that_are_kept(pruned: Node, url: str, redis_url: str) -> None:
    tip = pruned.chain.tip()
    expected = {
        "valid": True, "height": 16, "tip": tip.hash, "chainwork": tip.chainwork, "kept_from": KEPT_FROM,
        "transactions": 12, "compared": "nothing",
    }  # fmt: skip
    assert told("chain", "verify", "--url", url) == expected
    assert told("chain", "verify", "--url", url, "--redis-url", redis_url) == {**expected, "compared": "store"}
    text = run("chain", "verify", "--url", url).stdout
    assert "the headers of 16 blocks, and the bodies from height 11 on" in text and "Balances were not checked" in text


def test_verify_finds_what_is_wrong(pruned: Node, url: str, redis_url: str) -> None:
    redis = redis_of(pruned)
    redis.hset(pruned.chain.keys.accounts, MINER, b"7:0")
    said = failed(
        "chain", "verify", "--url", url, "--redis-url", redis_url, saying=("differ from them", "repair` cannot correct")
    )
    assert f"account {MINER}: stored 7:0" in said
    # The node knows now, so it is found without the store too, and a repair says why it is none.
    failed("chain", "verify", "--url", url, saying=("differ from them",))
    failed(
        "repair",
        "--redis-url",
        redis_url,
        "--node",
        pruned.settings.node,
        saying=("cannot be rebuilt from the blocks",),
    )
    assert redis.hget(pruned.chain.keys.accounts, MINER) == b"7:0"


def test_verify_finds_a_header_that_breaks_a_rule(pruned: Node, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node may lie: of block 5 it gives another header than the one that block 6 follows."""
    original = pruned.chain.headers

    def lying(first: int, limit: int) -> Any:
        found = original(first, limit)
        return [
            replace(item, header=replace(item.header, proof=item.header.proof + 1)) if item.header.index == 5 else item
            for item in found
        ]

    monkeypatch.setattr(pruned.chain, "headers", lying)
    result = run("chain", "verify", "--url", url)
    assert result.exit_code != 0 and ("rule" in result.output or "changed each time it was read" in result.output)


@pytest.mark.parametrize("height", [KEPT_FROM, 14])
def test_verify_names_the_block_that_cannot_be_read(
    pruned: Node, url: str, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = NodeClient.blocks

    def wrong(client: NodeClient, first: int = 1, last: int | None = None) -> Iterator[tuple[dict[str, Any], int]]:
        for value, length in real(client, first, last):
            yield (value | {"timestamp": "noon"} if value["index"] == height else value), length

    monkeypatch.setattr(NodeClient, "blocks", wrong)
    failed("chain", "verify", "--url", url, saying=(f"Block {height} breaks the rule",))


def test_an_export_is_refused_by_a_sentence_and_so_is_a_backup_of_the_chain_alone(
    pruned: Node, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARRY_PASSPHRASE", "a passphrase of a test")
    exported, backup = tmp_path / "chain.jsonl", tmp_path / "node.backup"
    gone = "from height 11 on (QUARRY_KEEP)"
    failed("chain", "export", exported, "--url", url, saying=(gone, "chain file begins"))
    failed("backup", backup, "--url", url, saying=(gone, "run the command there"))
    assert not exported.exists() and not backup.exists()


def test_a_backup_leaves_out_the_chain_and_says_so(
    pruned: Node, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the node's store, as on its own machine; a store with a chain is not restored to."""
    monkeypatch.setenv("QUARRY_PASSPHRASE", "a passphrase of a test")
    monkeypatch.setattr("services.backup.sealed.COST", 2)
    file, spec = tmp_path / "node.backup", write_spec(tmp_path / "here.toml", pruned.settings.spec)
    pruned.operators.new("night shift", ["jobs"])
    store = ("--redis-url", redis_url, "--node", pruned.settings.node, "--spec", spec)
    made = told("backup", file, *store)
    assert (made["chain"], made["height"], made["records"], made["tokens"]) == (False, 16, True, 1)
    own = (b":run", b":rules")  # what each start writes
    before = {key: value for key, value in dump(redis_of(pruned)).items() if not key.endswith(own)}
    failed("restore", file, "--data-dir", tmp_path / "new", "--redis-url", redis_url, saying=("the backup has none",))
    assert not (tmp_path / "new").exists()
    assert {key: value for key, value in dump(redis_of(pruned)).items() if not key.endswith(own)} == before
    found = told("restore", file, "--data-dir", tmp_path / "new")
    assert (found["chain"], found["height"], found["tokens"]) == (False, 16, 1)
    assert "Without the chain, which a restored node gets from its peers" in run("backup", file, *store).stdout


def test_status_and_doctor_say_what_is_kept(pruned: Node, url: str) -> None:
    assert told("status", "--url", url)["kept_from"] == KEPT_FROM
    assert "kept       whole blocks from height 11 on, headers of all" in run("status", "--url", url).stdout
    client = NodeClient(url)
    status = client.get("/status")
    assert doctor._chain(client, status).endswith("whole blocks are kept from height 11 on")
    status["peers"] = [{"url": "http://a:5000", "state": "pruned"}]
    with pytest.raises(Trouble, match="peers have pruned the blocks that come next"):
        doctor._chain(client, status)


def test_a_block_that_is_gone_is_named_as_gone(url: str) -> None:
    result = run("chain", "show", "5", "--url", url)
    assert result.exit_code != 0 and "from height 11 on" in result.output
