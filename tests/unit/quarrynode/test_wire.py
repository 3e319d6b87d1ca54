"""JSON over HTTP, and the package's promise to need nothing else."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarrynode import QuarryError, RpcError, wire
from services.system.programs import ROOT
from tests.support.fake_node import FakeNode


@pytest.fixture
def server() -> Iterator[FakeNode]:
    server = FakeNode()
    yield server
    server.close()


def test_a_refusal_says_what_the_node_says(server: FakeNode) -> None:
    with pytest.raises(QuarryError, match=r"/x: Nothing here\.$"):
        wire.ask(f"{server.url}/x", timeout=5)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b""])
def test_a_refusal_without_a_sentence_has_its_status(server: FakeNode, body: bytes) -> None:
    server.answers["/x"] = 502, body
    with pytest.raises(QuarryError, match=r"/x: status 502$"):
        wire.ask(f"{server.url}/x", timeout=5)


def test_what_is_no_json_is_not_a_node(server: FakeNode) -> None:
    server.answers["/x"] = 200, b"<html>"
    with pytest.raises(QuarryError, match=r"/x does not answer with JSON\.$"):
        wire.ask(f"{server.url}/x", timeout=5)


AWAY = {"code": "store_unavailable", "detail": "The store does not answer."}


def test_a_get_is_repeated_while_the_store_is_busy(server: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/x"] = 503, AWAY

    def recovers(seconds: float) -> None:
        server.answers["/x"] = 200, {"a": seconds}

    monkeypatch.setattr(wire.time, "sleep", recovers)
    assert wire.ask(f"{server.url}/x", timeout=5) == {"a": 0.25}


@pytest.mark.parametrize(("body", "seconds"), [({}, 30.0), (None, -1.0)], ids=["a POST", "too long"])
def test_a_post_is_not_repeated_and_nothing_for_ever(
    server: FakeNode, body: object, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_STORE_SECONDS", seconds)
    monkeypatch.setattr(wire.time, "sleep", lambda seconds: pytest.fail("it was to be repeated"))
    server.answers["/x"] = 503, AWAY
    with pytest.raises(QuarryError, match="The store does not answer"):
        wire.ask(f"{server.url}/x", body, timeout=5)


@pytest.mark.parametrize("answer", [[], "text", {"error": "text"}])
def test_what_is_no_json_rpc_is_not_a_node(server: FakeNode, answer: object) -> None:
    server.answers["/rpc"] = 200, answer
    with pytest.raises(QuarryError, match=r"/rpc does not answer as JSON-RPC"):
        wire.call(f"{server.url}/rpc", "m", (), 5)


def test_an_error_object_without_members_is_still_an_error(server: FakeNode) -> None:
    server.answers["/rpc"] = 200, {"error": {}}
    with pytest.raises(RpcError):
        wire.call(f"{server.url}/rpc", "m", (), 5)


def test_a_proxy_of_the_environment_is_not_asked(server: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/x"] = 200, {"a": 1}
    assert wire.ask(f"{server.url}/x", timeout=5) == {"a": 1}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_the_package_needs_the_standard_library_alone() -> None:
    files = sorted((ROOT / "quarrynode").glob("*.py"))
    assert len(files) > 5
    for file in files:
        allowed = sys.stdlib_module_names | {"quarrynode"} | ({"pytest"} if file.name == "plugin.py" else set())
        assert set(imported(file)) <= allowed, file.name
