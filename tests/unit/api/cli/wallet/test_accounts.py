"""`quarry wallet accounts`: what anvil prints at its start, whenever it is asked for."""

import json
from pathlib import Path

import pytest

from services.wallet.development import ACCOUNTS, PHRASE, derived
from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode, make_node


def serve(node: FakeNode, home: Path, number: int, **change: str) -> None:
    make_node(home, node.url, development_accounts=number, **change)


@pytest.mark.parametrize("number", [1, 10])
@pytest.mark.parametrize("columns", [80, 140, None])
def test_a_few_accounts_are_all_listed(node: FakeNode, tmp_path: Path, number: int, columns: int | None) -> None:
    serve(node, tmp_path / "home", number)
    lines = run("wallet", "accounts", columns=columns).stdout.splitlines()
    assert len(lines) == 2 + number * (2 if columns == 80 else 1) < 24
    assert lines[0].startswith("Their keys are public") and lines[1] == f"Phrase: {PHRASE}"
    assert " ".join(lines[2:]).split() == [
        text
        for index, account in enumerate(ACCOUNTS[:number])
        for text in (f"account{index}", account.address, account.private_key)
    ]


def test_of_many_a_terminal_gets_the_first_and_a_program_all(node: FakeNode, tmp_path: Path) -> None:
    serve(node, tmp_path / "home", 100)
    lines = run("wallet", "accounts", columns=80).stdout.splitlines()
    assert len(lines) < 24 and lines[-1] == "The first 10 of 100; --all shows all."
    every = [account.private_key for account in derived(PHRASE, 100)]
    for result in (run("wallet", "accounts", "--all", columns=80), run("wallet", "accounts")):
        assert [line.split()[-1] for line in result.stdout.splitlines() if line.split()[-1] in every] == every
    found = json.loads(run("wallet", "accounts", "--json").stdout)
    assert (found["phrase"], found["path"]) == (PHRASE, "m/44'/60'/0'/0/")
    assert [item["private_key"] for item in found["accounts"]] == every
    assert found["accounts"][99]["name"] == "account99"


def test_the_phrase_is_the_one_of_the_nodes_chain(node: FakeNode, tmp_path: Path) -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    file = tmp_path / "phrase"
    file.write_text(phrase)
    file.chmod(0o600)
    serve(node, tmp_path / "home", 2, mnemonic_file=str(file))
    shown = run("wallet", "accounts").stdout
    assert phrase in shown and all(account.private_key in shown for account in derived(phrase, 2))
    file.write_text("no phrase")
    refused(run("wallet", "accounts"), 1, "12, 15, 18, 21 or 24 words")


def test_where_there_are_none_it_says_why(node: FakeNode, tmp_path: Path) -> None:
    refused(run("wallet", "accounts"), 1, "No node runs on this machine", "`quarry up`")
    refused(run("wallet", "accounts", "--url", "http://127.0.0.1:1"), 1, "does not run on this machine")
    serve(node, tmp_path / "home", 0)
    refused(run("wallet", "accounts"), 1, "dev has no development accounts", "`quarry wallet new NAME`")
