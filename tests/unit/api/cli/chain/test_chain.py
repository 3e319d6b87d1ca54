"""The commands of a chain with a node that answers as told: verify, export, import."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.wallet.development import ACCOUNTS
from shared.replay import Replay
from shared.rules import rules_for
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode, make_chain

pytestmark = pytest.mark.usefixtures("own_environment")


def test_verify_replays_every_page(node: FakeNode) -> None:
    blocks = make_chain(60)
    node.serve_chain(blocks)
    result = run("chain", "verify", "--url", node.url, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["height"], found["transactions"], found["supply"]) == (60, 59, "59")
    pages = [path for _, path, *_ in node.asked if path.startswith("/chain")]
    assert len(pages) > 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"proof": -1}, "bad_block_field"),
        ({"difficulty": 2}, "wrong_difficulty"),
        ({"timestamp": 0}, "timestamp_too_low"),
        ({"transactions_root": "00" * 32}, "wrong_root"),
        ({"previous_hash": "00" * 32}, "wrong_previous_hash"),
        ({"index": 9}, "wrong_index"),
    ],
)
def test_verify_names_height_and_rule(node: FakeNode, change: dict[str, Any], rule: str) -> None:
    blocks = make_chain(30)
    node.serve_chain(blocks)
    blocks[24] = blocks[24] | change
    refused(run("chain", "verify", "--url", node.url), 1, "Block 25 ", rule)


def test_verify_refuses_another_chain(node: FakeNode) -> None:
    node.serve_chain(make_chain(3))
    refused(run("chain", "verify", "--url", node.url, "--spec", "dev"), 1, "wrong_genesis")


def test_verify_starts_again_when_the_chain_was_reorganised(node: FakeNode) -> None:
    """Between two pages the node adopts another branch: that is no broken rule."""
    old, new = make_chain(60), make_chain(60)
    rules = rules_for(SPEC)
    replay = Replay(rules)
    for block in new[:10]:
        replay.add(block)
    del new[10:]
    while len(new) < 60:  # rewards to somebody else from height 11 on
        template = rules.template(replay.window, [], ACCOUNTS[1].address, SPEC.genesis_timestamp + len(new))
        new.append(template.with_proof(0))
        replay.add(new[-1])
    node.serve_chain(old)
    serve_old = node.answers["/chain"][1]

    def first_page_then_reorganise(path: str) -> Any:
        page = serve_old(path)
        node.serve_chain(new)
        return page

    node.answers["/chain"] = 200, first_page_then_reorganise
    result = run("chain", "verify", "--url", node.url, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["tip"] == rules.read_block(new[-1]).hash


def test_export_writes_the_spec_and_the_blocks_as_they_are_hashed(node: FakeNode, tmp_path: Path) -> None:
    blocks = make_chain(25)
    node.serve_chain(blocks)
    file = tmp_path / "chain.jsonl"
    assert run("chain", "export", file, "--url", node.url).exit_code == 0
    head, *lines = file.read_bytes().splitlines()
    rules = rules_for(SPEC)
    assert json.loads(head) == {"spec": SPEC.to_object(), "genesis": rules.genesis().hash}
    assert [json.loads(line) for line in lines] == blocks
    assert lines[1] == rules.read_block(blocks[1]).canonical
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["chain.jsonl"]


def test_an_export_that_fails_leaves_the_old_file(node: FakeNode, tmp_path: Path) -> None:
    blocks = make_chain(25)
    node.serve_chain(blocks)
    blocks[23] = blocks[23] | {"previous_hash": "00" * 32}
    file = tmp_path / "chain.jsonl"
    file.write_text("old")
    refused(run("chain", "export", file, "--url", node.url), 1, "reorganised")
    assert file.read_text() == "old"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "does not begin with a chain spec"),
        (b"[]\n", "does not begin with a chain spec"),
        (b"{\n", "Line 1"),
        (b'{"spec": {}, "genesis": ""}\n', "lacks name"),
        (json.dumps({"spec": SPEC.to_object(), "genesis": "00" * 32}).encode() + b"\n", "genesis block is not"),
    ],
)
def test_import_refuses_what_is_no_chain_file(tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / "chain.jsonl"
    file.write_bytes(content)
    refused(run("chain", "import", file, "--redis-url", "redis://127.0.0.1:1/0"), 1, word)
