"""`quarry mine` and `quarry status`, with a node that answers as told: waiting, interrupting, cancelling, the token."""

import signal
from pathlib import Path
from typing import Any

import pytest

from api.cli.client import NodeClient
from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("own_environment")


STATUS: dict[str, Any] = {
    "node": "node1", "spec": "unit", "height": 12, "chainwork": 11, "tip": "ab" * 32, "peers": [], "round": None,
    "mempool": {"size": 0, "bytes": 0}, "workers": {"mining": 1, "network": 1},
    "time": 1_750_000_000.0, "mining_waits_until": None, "wrong_clocks": [],
}  # fmt: skip


def test_status_says_until_when_mining_waits_and_whose_clock_is_wrong(node: FakeNode) -> None:
    node.answers["/status"] = 200, STATUS
    quiet = run("status", "--url", node.url)
    assert quiet.exit_code == 0 and "clock" not in quiet.stdout
    wrong = [{"name": "w1", "ahead": 300.0}, {"name": "api", "ahead": -5.0}]
    node.answers["/status"] = 200, {**STATUS, "mining_waits_until": 1_750_000_100.0, "wrong_clocks": wrong}
    lines = run("status", "--url", node.url).stdout.splitlines()
    assert any(line.startswith("Mining waits until 2025-06-15 15:08:20 UTC, 1 min 40 s from now") for line in lines)
    assert "The clock of worker w1 is 300 s ahead of the store's: set that machine's clock." in lines
    assert "The clock of the node's API is 5 s behind the store's: set that machine's clock." in lines
    node.answers["/status"] = 200, {name: STATUS[name] for name in STATUS if name not in ("time", "wrong_clocks")}
    assert run("status", "--url", node.url).exit_code == 0  # a node of the version before


@pytest.mark.parametrize("wait", [60, 200])
def test_mine_says_until_when_mining_waits(node: FakeNode, wait: int) -> None:
    message = "Mining waits until then, in words."
    until = STATUS["time"] + 100
    node.answers["/status"] = 200, STATUS
    node.answers["/mine"] = 202, {"job": "ab" * 16, "message": message, "mining_waits_until": until}
    node.answers["/jobs/" + "ab" * 16] = 200, {"status": "finished", "block": "cd" * 32, "round": None}
    block = {"index": 2, "hash": "cd" * 32, "transactions": [], "proof": 5}
    node.answers["/blocks/" + "cd" * 32] = 200, block
    result = run("mine", "--url", node.url, "--wait", str(wait))
    if wait < 100:  # it cannot come in that time
        refused(result, 1, message, "ab" * 16, "stays queued")
    else:
        assert result.exit_code == 0 and message in result.stderr + result.stdout


JOB = "ab" * 16


@pytest.mark.parametrize(
    ("answer", "searching", "words"),
    [
        ((200, {"status": "cancelled"}), None, ["the request was cancelled", "Nothing is being mined now."]),
        ((200, {"status": "cancelled"}), {"height": 3}, ["the request was cancelled", "Another search goes on"]),
        ((200, {"status": "finished", "block": "cd" * 32}), None, ["found before that", "cd" * 32]),
        ((404, {"code": "not_found", "detail": "No."}), None, [JOB, "not cancelled", "`quarry mine --cancel`"]),
        ((401, {"code": "admin_token_required", "detail": "No."}), None, ["QUARRY_TOKEN", "quarry mine --cancel"]),
    ],
)
def test_an_interrupted_search_is_cancelled_or_said_to_go_on(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, Any], searching: Any, words: list[str]
) -> None:
    """Ctrl-C comes between two questions about the request."""
    node.answers["/mine"] = 202, {"job": JOB}
    node.answers["/status"] = 200, {**STATUS, "round": searching}
    node.answers[f"/jobs/{JOB}"] = 200, {"status": "started", "block": None, "round": None}

    def interrupted(*_: object) -> str:
        node.answers[f"/jobs/{JOB}"] = answer
        raise KeyboardInterrupt

    monkeypatch.setattr("api.cli.node.mine._progress", interrupted)
    refused(run("mine", "--url", node.url), 130, "Interrupted", *words)
    deletes = [path for method, path, *_ in node.asked if method == "DELETE"]
    assert deletes == [f"/jobs/{JOB}"]


@pytest.mark.parametrize(("presses", "cancelled"), [(1, True), (2, False)])
def test_an_interrupt_waits_for_the_answer_that_names_the_request(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, presses: int, cancelled: bool
) -> None:
    node.answers["/mine"] = 202, {"job": JOB}
    node.answers["/status"] = 200, {**STATUS, "round": None}
    node.answers[f"/jobs/{JOB}"] = 200, {"status": "cancelled"}
    post = NodeClient.post

    def pressed(*args: Any, **kwargs: Any) -> Any:
        found = post(*args, **kwargs)
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(NodeClient, "post", pressed)
    words = "the request was cancelled" if cancelled else "before the node answered"
    refused(run("mine", "--url", node.url), 130, "Interrupted", words)
    assert [path for method, path, *_ in node.asked if method == "DELETE"] == [f"/jobs/{JOB}"] * cancelled


def test_cancelling_says_what_was_cancelled(node: FakeNode) -> None:
    node.answers["/jobs"] = 200, {"cancelled": 1, "round": "ab" * 16}
    assert run("mine", "--cancel", "--url", node.url).stdout == (
        "Cancelled 1 request and the search; `quarry mine` begins again.\n"
    )
    node.answers["/jobs"] = 200, {"cancelled": 0, "round": None}
    assert "Nothing was being mined" in run("mine", "--cancel", "--url", node.url).stdout
    refused(run("mine", "--cancel", "3", "--url", node.url), 2, "leave out the number")
    node.answers["/jobs"] = 401, {"code": "admin_token_required", "detail": "This needs the admin token."}
    refused(run("mine", "--cancel", "--url", node.url), 1, "--token", "QUARRY_TOKEN")
    refused(run("mine", "--cancel", "--url", node.url, "--token", "no-such-file"), 2, "QUARRY_TOKEN", "no-such-file")
    assert {method for method, path, *_ in node.asked} == {"DELETE"}


def test_a_token_file_is_sent_and_a_bad_one_refused(node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "token"
    node.answers["/jobs"] = 200, {"cancelled": 0, "round": None}
    for content, mode, word in (("short", 0o600, "fewer"), ("x" * 40, 0o644, "token"), ("", 0o600, "empty")):
        file.write_text(content)
        file.chmod(mode)
        refused(run("mine", "--cancel", "--url", node.url, "--token", file), 2, "--token", word)
    file.write_text("t" * 40 + "\n")
    file.chmod(0o600)
    assert run("mine", "--cancel", "--url", node.url, "--token", file).exit_code == 0
    assert [headers["Authorization"] for *_, headers in node.asked] == ["Bearer " + "t" * 40]


def test_a_scheme_that_is_missing_is_http(node: FakeNode) -> None:
    node.answers["/status"] = 200, STATUS
    assert run("status", "--url", node.url.removeprefix("http://")).exit_code == 0
