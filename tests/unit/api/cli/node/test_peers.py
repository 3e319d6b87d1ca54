"""`quarry peers` against a node that answers as the test says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode, make_node

ONE, TWO, THREE = (f"http://127.0.0.1:{port}" for port in (5001, 5002, 5003))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("QUARRY_URL", "QUARRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUARRY_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def node(home: Path) -> Iterator[FakeNode]:
    fake = FakeNode()
    make_node(home, fake.url)
    yield fake
    fake.close()


def peer(url: str, **change: Any) -> dict[str, Any]:
    known = {"url": url, "state": "ok", "height": 7, "tip": "ab" * 32, "chainwork": 6, "failures": 0, "reason": None}
    return known | change


def test_add_sends_the_urls_with_the_token_of_the_node(node: FakeNode, home: Path) -> None:
    node.answers["/nodes/register"] = 201, {"message": "", "all_nodes": [ONE, TWO], "total_nodes": [ONE, TWO]}
    result = run("peers", "add", ONE, TWO)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"Peers now: {ONE}, {TWO}.\n"
    method, path, body, headers = node.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/nodes/register", {"nodes": [ONE, TWO]})
    token = (home / "dev" / "node1" / "admin-token").read_text().strip()
    assert headers["Authorization"] == f"Bearer {token}"
    assert json.loads(run("peers", "add", ONE, "--json").stdout) == {"peers": [ONE, TWO]}


def test_a_refusal_is_one_sentence(node: FakeNode) -> None:
    detail = f"{ONE} is on another chain: its genesis block is aa, ours is bb."
    node.answers["/nodes/register"] = 400, {"code": "wrong_genesis", "detail": detail}
    refused(run("peers", "add", ONE), 1, "wrong_genesis", "another chain")
    refused(run("peers", "add"), 2, "URL")
    refused(run("peers", "add", ONE, "--url", "http://127.0.0.1:1"), 3, "No node answers")


def test_list_keeps_candidates_apart(node: FakeNode) -> None:
    lying = peer(TWO, state="lying", height=0, reason="wrong_proof: it is not rare enough")
    node.answers["/nodes"] = 200, {"nodes": [peer(ONE), lying, peer(THREE, state="candidate", height=0)]}
    lines = run("peers", "list").stdout.splitlines()
    assert lines[0].split() == ["PEER", "STATE", "HEIGHT"]
    assert lines[1].split() == [ONE, "ok", "7"]
    assert lines[2].split() == [TWO, "lying", "no", "answer", "yet"]
    assert lines[3] == "    wrong_proof: it is not rare enough"
    assert lines[4:] == ["", "Candidates, awaiting approval (`quarry peers add URL`):", f"  {THREE}"]
    assert [item["url"] for item in json.loads(run("peers", "list", "--json").stdout)["peers"]] == [ONE, TWO, THREE]


def test_an_empty_list_says_what_to_do(node: FakeNode) -> None:
    node.answers["/nodes"] = 200, {"nodes": []}
    assert "quarry peers add" in run("peers", "list").stdout


def test_remove_says_how_many_and_fails_for_strangers(node: FakeNode) -> None:
    node.answers["/nodes"] = 200, {"removed": 1, "nodes": [peer(TWO)]}
    assert run("peers", "remove", ONE).stdout == "Removed 1; 1 left.\n"
    method, path, body, headers = node.asked[0]
    assert (method, path, json.loads(body)) == ("DELETE", "/nodes", {"nodes": [ONE]})
    assert headers["Authorization"].startswith("Bearer ")
    node.answers["/nodes"] = 200, {"removed": 0, "nodes": [peer(TWO)]}
    refused(run("peers", "remove", ONE), 1, "None of these")


def test_a_long_list_ends_with_the_terminal(node: FakeNode) -> None:
    found = [peer(f"http://127.0.0.1:{port}", reason="slow") for port in range(5001, 5041)]
    node.answers["/nodes"] = 200, {"nodes": found}
    lines = run("peers", "list", columns=80).stdout.splitlines()
    assert len(lines) == 23 and lines[-1] == "… and 59 more lines; --all shows all."
    for result in (run("peers", "list", "--all", columns=80), run("peers", "list")):
        assert len(result.stdout.splitlines()) == 81
