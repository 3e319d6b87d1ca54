"""The HTTP client of the commands: what is asked again while the node's store does not answer, and what is not."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.cli import client
from api.cli.chain import anchor_proof
from api.cli.chain.anchor_proof import Anchor
from api.cli.client import NodeClient, Refused, once_the_store_answers
from services.system.programs import ROOT, module_command
from services.wallet.development import ACCOUNTS
from tests.support.cli import run
from tests.support.commands import environment
from tests.support.fake_node import SPEC, FakeNode
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import eventually

WAITS = "The node's store does not answer. Asking again for up to 10 seconds.\n"
AWAY = {"code": "store_unavailable", "detail": "The store does not answer."}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, which take no time."""
    found: list[float] = []
    monkeypatch.setattr(client.time, "sleep", found.append)
    return found


def goes_on(node: FakeNode, monkeypatch: pytest.MonkeyPatch, path: str, then: Any, after: int = 2) -> list[float]:
    """The store answers again after so many pauses; the pauses."""
    node.answers[path] = 503, AWAY
    found: list[float] = []

    def sleep(seconds: float) -> None:
        found.append(seconds)
        if len(found) == after:
            node.answers[path] = 200, then

    monkeypatch.setattr(client.time, "sleep", sleep)
    return found


READS: dict[str, tuple[str, Any, Callable[[NodeClient], Any]]] = {
    "get": ("/status", {"height": 1}, lambda node: node.get("/status")),
    "find": ("/status", {"height": 1}, lambda node: node.find("/status")),
    "redirected": ("/status", {"height": 1}, lambda node: node.redirected("/status")),
    "blocks": ("/chain", {"chain": [{"index": 1}], "length": 1}, lambda node: [*node.blocks()]),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_asked_again_while_the_store_is_busy(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, answer, read = READS[name]
    pauses = goes_on(node, monkeypatch, path, answer)
    assert read(NodeClient(node.url)) in (answer, [({"index": 1}, 1)])
    assert len(node.asked) == 3 and pauses == [0.25, 0.25]


def test_a_command_shows_what_a_busy_store_answers_at_last(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on(node, monkeypatch, "/transactions/" + "ab" * 32, {"id": "ab" * 32, "status": "pending"})
    result = run("tx", "ab" * 32, "--url", node.url)
    assert result.exit_code == 0 and "pending" in result.stdout
    assert result.stderr == WAITS


def test_a_command_says_once_that_it_waits_for_the_store(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first repeat of the first of its requests that needs one, before the pause."""
    said: list[tuple[float, str]] = []
    now = [0.0]
    monkeypatch.setattr(client.terminal, "say", lambda line: said.append((now[0], line)))
    monkeypatch.setattr(client.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    answers = [(200, {}), (503, AWAY), (503, AWAY), (200, {}), (503, AWAY), (200, {})]
    asking = NodeClient(node.url)
    monkeypatch.setattr(asking, "_ask", lambda *_: answered(*answers.pop(0)))
    for _ in range(3):
        asking.get("/status")
    assert answers == [] and said == [(0.0, WAITS.strip())]


def answered(status: int, value: Any) -> Any:
    if status != 200:
        raise Refused(value["detail"], status, value["code"])
    return value


ANCHOR = Anchor(
    f"sha256:{'ab' * 32}", "ab" * 32, 2, 1.5, 1, "ab" * 32, ACCOUNTS[0].address, SPEC.name, SPEC.chain_id, "ab" * 32
)
# One for each place where a command makes its client.
COMMANDS: dict[str, tuple[str, ...]] = {
    "a command with --url": ("tx", "ab" * 32),
    "doctor": ("doctor",),
    "wallet list": ("wallet", "list"),
    "wallet show": ("wallet", "show", "alice"),
    "backup": ("backup", "node.backup"),
    "verify-anchor": ("verify-anchor", "anchored"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_once_that_it_waits_and_nothing_with_json(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUARRY_PASSPHRASE", "a passphrase")
    monkeypatch.setattr(anchor_proof, "verify", lambda *_: ANCHOR)
    for file in ("anchored", "anchored.quarry-proof.json"):
        Path(file).write_text("{}")
    run("wallet", "new", "alice")
    node.answers = Late()
    now = [0.0]
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(client.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    plain, as_json = (run(*COMMANDS[name], "--url", node.url, *more) for more in ((), ("--json",)))
    assert plain.exit_code == as_json.exit_code == 1
    assert plain.stderr.count(WAITS) == 1 and plain.stderr.startswith(WAITS)
    assert as_json.stderr.startswith("quarry: ") and WAITS not in as_json.stderr


class Late(dict[str, tuple[int, Any]]):
    """What a node answers whose store goes away as soon as it has said that it is ready."""

    def get(self, path: str, *_: Any) -> Any:
        return (200, {}) if path == "/readyz" else (503, AWAY)


CHANGES: dict[str, Callable[[NodeClient], Any]] = {
    "a block": lambda node: node.post("/status", wait=0),
    "a body": lambda node: node.post("/status", {"nodes": []}),
    "an end": lambda node: node.delete("/status"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_something_is_asked_once(node: FakeNode, pauses: list[float], name: str) -> None:
    node.answers["/status"] = 503, AWAY
    with pytest.raises(Refused, match="store_unavailable"):
        CHANGES[name](NodeClient(node.url))
    assert len(node.asked) == 1 and pauses == []


def test_what_wants_to_know_how_the_node_is_asks_once(node: FakeNode, pauses: list[float]) -> None:
    node.answers["/readyz"] = 503, AWAY
    with pytest.raises(Refused, match="store_unavailable"):
        NodeClient(node.url).get_once("/readyz")
    assert len(node.asked) == 1 and pauses == []


@pytest.mark.parametrize(
    ("status", "code", "seconds"),
    [(503, "ledger_differs", 60.0), (503, "too_many_waiting", 60.0), (404, "not_found", 60.0), (503, AWAY["code"], 0)],
    ids=["another reason", "too many", "nothing there", "too long"],
)
def test_it_is_not_asked_again_for_another_reason_nor_forever(
    pauses: list[float], status: int, code: str, seconds: float
) -> None:
    refusal, asked = Refused("no", status, code), []

    def ask() -> None:
        asked.append(1)
        raise refusal

    with pytest.raises(Refused) as raised:
        once_the_store_answers(ask, seconds)
    assert raised.value is refusal and asked == [1] and pauses == []


def test_a_command_gives_up_in_the_end(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(client.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(client.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    node.answers["/status"] = 503, AWAY
    result = run("status", "--url", node.url)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == f"{WAITS}quarry: The store does not answer (store_unavailable).\n"
    assert now == [client.PATIENCE]


def test_ctrl_c_ends_the_asking_at_once(node: FakeNode, tmp_path: Path) -> None:
    node.answers["/status"] = 503, AWAY
    with subprocess.Popen(
        module_command("api.cli", "status", "--url", node.url),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: len(node.asked) > 1, what="a second request")
        watch = Stopwatch(process.pid)
        process.send_signal(signal.SIGINT)
        seconds = watch.until(lambda: process.poll() is not None, "the end")
        output, errors = process.communicate()
    assert process.returncode == 130 and output == "" and "Traceback" not in errors
    assert seconds < 2.0 < client.PATIENCE
