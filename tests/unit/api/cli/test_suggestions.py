"""Mistyped words: what they may have meant is asked, and nothing is asked where nothing is like them."""

import pytest

from api.cli.suggestions import did_you_mean
from tests.support.cli import refused, run

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["blance"], "Did you mean balance?"),
        (["Status"], "Did you mean status?"),
        (["wallets", "list"], "Did you mean wallet?"),
        (["wallet", "lst"], "Did you mean list?"),
        (["chain", "verfy"], "Did you mean verify?"),
        (["peers", "ad", "http://127.0.0.1:1"], "Did you mean add?"),
        (["chain", "frobnicate"], "The commands are export, import, show, tips, verify."),
        (["frobnicate" * 10_000], "The commands are up, demo"),
        (["send", "--form", "alice", "--to", "bob", "1"], "--from"),
        (["mine", "--waits", "1"], "--wait"),
    ],
)
def test_a_mistyped_command_or_option(arguments: list[str], word: str) -> None:
    refused(run(*arguments), 2, word)


def test_a_mistyped_wallet() -> None:
    run("wallet", "new", "alice")
    refused(run("wallet", "show", "alise"), 1, "Did you mean alice?")
    result = run("wallet", "show", "zzz")
    assert "Did you mean" not in result.stderr and "alice" in result.stderr


def test_words_are_compared_without_case_and_at_most_three_are_named() -> None:
    assert did_you_mean("ALICE", ["Alice"]) == " Did you mean Alice?"
    assert did_you_mean("account", [f"account{number}" for number in range(9)]).count(" or ") == 2
    assert did_you_mean("", ["alice"]) == ""
