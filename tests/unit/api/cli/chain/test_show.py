"""`quarry chain show`: one block by each of its names, and the table of blocks at each width."""

import json
from typing import Any

import pytest

from services.wallet.development import ACCOUNTS
from shared.rules import rules_for
from tests.support.cli import refused, run
from tests.support.fake_node import SPEC, FakeNode, make_chain

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture
def shown(node: FakeNode) -> list[dict[str, Any]]:
    """The blocks of a chain of five, as `/blocks/…` shows them."""
    blocks = make_chain(5)
    rules = rules_for(SPEC)
    found = []
    for block in blocks:
        known = {"hash": rules.genesis().hash if block["index"] == 1 else rules.read_block(block).hash, "size": 500}
        found.append({**block, **known, "chainwork": 1, "confirmations": 6 - block["index"], "on_chain": True})
        node.answers[f"/blocks/{block['index']}"] = node.answers[f"/blocks/{known['hash']}"] = 200, found[-1]
    heads = [{**block, "transaction_count": len(block["transactions"])} for block in found]
    node.answers["/blocks/latest"] = 200, found[-1]
    node.answers["/blocks"] = 200, {"blocks": heads[::-1], "length": 5}
    node.answers["/status"] = 200, {"height": 5, "time": SPEC.genesis_timestamp + 100}
    return found


def named(node: FakeNode, *found: tuple[str, str], more: bool = False) -> None:
    """Have the node's search find these kinds and names."""
    candidates = [{"kind": kind, "name": name, "path": "/", "about": ""} for kind, name in found]
    node.answers["/search"] = 200, {"candidates": candidates, "more": more}


def test_a_block_is_shown_by_each_of_its_names(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    third, last = shown[2], shown[4]
    named(node, ("block", third["hash"]))
    for name, block in (
        ("3", third),
        ("#3", third),
        ("latest", last),
        ("LATEST", last),
        (third["hash"], third),
        ("0x" + third["hash"].upper().replace("X", ""), third),
        (third["hash"][:6], third),
        (third["hash"][:8] + "…", third),
        (third["hash"][:8] + "…" + third["hash"][-4:], third),
    ):
        result = run("chain", "show", name, "--url", node.url)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[:2] == [f"Block {block['index']}", f"  hash        {block['hash']}"]
    assert json.loads(run("chain", "show", "3", "--url", node.url, "--json").stdout) == third


@pytest.mark.parametrize("page", ["/block/HASH", "http://127.0.0.1:1/under/block/0xHASH?x=1"])
def test_a_search_that_sends_on_to_the_page_is_understood(
    node: FakeNode, shown: list[dict[str, Any]], page: str
) -> None:
    node.answers["/search"] = 302, {}
    node.location = page.replace("HASH", shown[2]["hash"])
    name = shown[2]["hash"][:8]
    assert run("chain", "show", name, "--url", node.url).stdout.startswith("Block 3\n")
    refused(run("chain", "show", "abcd", "--url", node.url), 1, "knows no block")  # it was sent to another block
    for nonsense in ("/spec", "", "/block/" + "x" * 64, "/address/" + shown[2]["hash"]):
        node.location = nonsense
        assert run("chain", "show", name, "--url", node.url).exit_code == 1


def test_the_table_has_titles_and_times_and_fits(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    whole = run("chain", "show", "--url", node.url).stdout.splitlines()
    assert whole[0].split() == ["HEIGHT", "HASH", "TIME", "TXS", "BYTES", "DIFFICULTY"]
    assert len(whole) == 6 and whole[-1].split()[:2] == ["5", shown[4]["hash"]]
    for columns in (40, 60, 80, 120, 200):
        lines = run("chain", "show", "--url", node.url, columns=columns).stdout.splitlines()
        assert max(map(len, lines)) <= columns and len(lines) >= 6
    narrow = run("chain", "show", "--url", node.url, columns=80).stdout.splitlines()
    assert len(narrow) == 6 and shown[4]["hash"][:16] in narrow[-1] and "2023" in narrow[-1]
    one = run("chain", "show", "5", "--url", node.url, columns=80).stdout.splitlines()
    assert max(map(len, one)) <= 80 and len(one) <= 24
    assert {f"  hash        {shown[4]['hash']}", f"  parent      {shown[3]['hash']}"} <= set(one)  # not folded


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("6", 1, ["no block 6", "ends at block 5"]),
        ("0", 1, ["genesis block, has height 1"]),
        ("999999999999999", 1, ["ends at block 5"]),
        ("abc", 2, ["first 4 or more digits"]),
        ("", 2, ["height"]),
        ("-", 2, ["height"]),
        ("xyzw", 2, ["height"]),
        ("0x", 2, ["height"]),
        ("f" * 65, 2, ["height"]),
        ("f" * 100_000, 2, ["height"]),
        ("\uff13", 2, ["height"]),
        ("f" * 64, 1, ["no block with this hash"]),
        ("../status", 2, ["height"]),
    ],
)
def test_a_wrong_name_is_one_sentence(
    node: FakeNode, shown: list[dict[str, Any]], name: str, code: int, words: list[str]
) -> None:
    named(node)
    refused(run("chain", "show", name, "--url", node.url), code, *words)


def test_a_block_and_a_range_exclude_each_other(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    for options in (("--from", "1"), ("--limit", "3")):
        refused(run("chain", "show", "3", *options, "--url", node.url), 2, "leave")


def test_digits_that_fit_several_are_one_sentence(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    several = ["abcd" + f"{number:060x}" for number in range(9)]
    named(node, *(("block", name) for name in several))
    refused(run("chain", "show", "abcd", "--url", node.url), 1, "Several blocks begin with abcd", "type more digits")
    named(node, *(("transaction", name) for name in several))
    refused(run("tx", "ABCD", "--url", node.url), 1, "Several transactions begin with abcd", "and others")
    refused(run("fork", "--drop", "abcd", "--url", node.url), 1, "Several transactions")
    refused(run("anchor", "--proof-of", "abcd", "--url", node.url), 1, "Several transactions")


def test_the_digits_of_the_other_kind_name_the_other_command(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    name = "abcd" + "0" * 60
    named(node, ("block", name))
    refused(run("tx", "abcd", "--url", node.url), 1, "`quarry chain show abcd`")
    named(node, ("transaction", name))
    refused(run("chain", "show", "abcd", "--url", node.url), 1, "`quarry tx abcd`")
    node.answers[f"/transactions/{name}"] = 200, {"id": name, "status": "pending"}
    refused(run("chain", "show", name, "--url", node.url), 1, f"`quarry tx {name}`")
    refused(run("tx", shown[2]["hash"], "--url", node.url), 1, f"`quarry chain show {shown[2]['hash']}`")


def test_a_transaction_is_found_by_its_first_digits(node: FakeNode) -> None:
    name = "0000f0" + "1" * 58
    named(node, ("block", "0000f0" + "2" * 58), ("transaction", name), ("account", ACCOUNTS[0].address))
    node.answers[f"/transactions/{name}"] = 200, {"id": name, "status": "pending"}
    assert run("tx", "0x0000F0", "--url", node.url).stdout.splitlines()[0] == f"id            {name}"


@pytest.mark.parametrize(
    "candidates",
    [
        None,
        [],
        "x",
        [{"kind": "transaction"}],
        [{"kind": "transaction", "name": 5}],
        [{"kind": "transaction", "name": "ff" * 32}],
    ],
)
def test_a_node_that_finds_nonsense_is_not_believed(node: FakeNode, candidates: Any) -> None:
    node.answers["/search"] = 200, {"candidates": candidates, "more": False}
    assert run("tx", "abcd", "--url", node.url).exit_code == 1
    assert {path.partition("?")[0] for _, path, *_ in node.asked} == {"/search"}


def test_what_the_node_says_of_nothing_found_is_passed_on(node: FakeNode) -> None:
    detail = "No block and no transaction of this chain has a hash that begins with abcd."
    node.answers["/search"] = 404, {"code": "nothing_found", "detail": detail}
    refused(run("tx", "abcd", "--url", node.url), 1, detail)


def test_the_whole_hash_is_asked_for_where_a_part_proves_nothing(node: FakeNode, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("x")
    refused(run("verify-anchor", tmp_path / "file", "--block", "abcd"), 2, "64 hexadecimal digits")


def test_a_block_fits_the_terminal(node: FakeNode, shown: list[dict[str, Any]]) -> None:
    transaction = shown[2]["transactions"][0]
    shown[2]["transactions"] = [transaction] * 40
    lines = run("chain", "show", "3", "--url", node.url, columns=80).stdout.splitlines()
    assert len(lines) == 23 and lines[-1] == "… and 28 more transactions; --json shows all."
    lines = run("chain", "show", "3", "--url", node.url).stdout.splitlines()
    assert len(lines) == 26 and lines[-1] == "… and 25 more transactions; --json shows all."
    shown[2]["transactions"] = []
    assert run("chain", "show", "3", "--url", node.url).stdout.splitlines()[-1] == "No transactions."
