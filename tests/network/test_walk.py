"""The walk of one transaction in docs/architecture.md is the one that the code takes.

Two nodes in one process: a transaction is posted to the first, mined by its search job and its desk, announced, and
adopted by the second. Every call is recorded. Each line of the walk must be a function that was called inside the
function above it, and each script must have been run inside the function of its line.
"""

import dataclasses
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import pytest
from redis import Redis

from services.jobs.queues import HEARD
from services.mining.searches import Searches
from services.node import Node
from services.peers.http import outcome
from services.system.programs import ROOT
from tests.network.ports import InProcessHttp, Network
from tests.support.keys import ALICE, MINER
from worker.context import Context, install
from worker.jobs import network as network_jobs
from worker.jobs.search import _Search, search
from worker.kernel.plain import PlainKernel

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PRODUCT = ("shared/", "services/", "worker/", "api/")
# How many functions may be handed the transaction, or something that holds it. It was 67 before the rooms were drawn.
# Fewer is better; before you raise it, look for a function that only passes it on.
MOST_FUNCTIONS = 66
_NESTED = ("<lambda>", "<genexpr>", "<listcomp>", "<dictcomp>", "<setcomp>")
# How deep a value is searched for the transaction: a template holds it four levels down.
_DEPTH = 6


class Function(NamedTuple):
    """A function of the project."""

    file: str
    name: str  # as `__qualname__`


class Line(NamedTuple):
    """A line of the walk."""

    function: Function
    caller: Function | None  # the function of the nearest line above that is indented less
    script: str  # that it runs, or ""


def walk() -> list[Line]:
    """The lines of the page's block that begins with `POST /transactions/new`. A line without a file begins a part."""
    found = re.search(r"^```\nPOST /transactions/new\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    lines: list[Line] = []
    above: list[tuple[int, Function]] = []
    for text in found[1].splitlines():
        match = re.match(r"( *)([\w/]+\.py): ([\w.]+)(?: .*?(\w+)\.lua)?", text)
        if match is None:
            above = []
            continue
        indent, function = len(match[1]), Function(match[2], match[3])
        above = [item for item in above if item[0] < indent]
        lines.append(Line(function, above[-1][1] if above else None, match[4] or ""))
        above.append((indent, function))
    return lines


class Trace:
    """Which functions of the project were called, inside which others, and which were handed the transaction."""

    def __init__(self, marks: Sequence[str]) -> None:
        """`marks`: texts of which each value that holds the transaction has one, such as its id."""
        self.called: set[Function] = set()
        self.inside: set[tuple[Function, Function]] = set()  # (caller, near or far; function)
        self.scripts: set[tuple[Function, str]] = set()  # (caller, near or far; script)
        self.handed: set[Function] = set()
        self._marks = marks
        self._root = f"{ROOT}/"

    @contextmanager
    def recording(self) -> Iterator[None]:
        sys.setprofile(self._profile)
        threading.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call" or (function := self._function(frame)) is None:
            return
        self.called.add(function)
        script = str(frame.f_locals["name"]) if function.name in ("Scripts.run", "Scripts.run_many") else ""
        above = frame.f_back
        while above is not None:
            caller = self._function(above)
            if caller is not None:
                self.inside.add((caller, function))
                if script:
                    self.scripts.add((caller, script))
            above = above.f_back
        if function not in self.handed and not function.name.endswith(_NESTED) and self._is_handed(frame):
            self.handed.add(function)

    def _function(self, frame: FrameType) -> Function | None:
        file = frame.f_code.co_filename
        if not file.startswith(self._root):
            return None
        file = file[len(self._root) :]
        return Function(file, frame.f_code.co_qualname) if file.startswith(PRODUCT) else None

    def _is_handed(self, frame: FrameType) -> bool:
        code = frame.f_code
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return any(self._holds(frame.f_locals.get(name), _DEPTH) for name in names if name not in ("self", "environ"))

    def _holds(self, value: Any, depth: int) -> bool:
        if isinstance(value, str):
            return any(mark in value for mark in self._marks)
        if isinstance(value, bytes):
            return any(mark.encode() in value for mark in self._marks)
        items: Any = ()
        if depth and isinstance(value, dict):
            items = list(value.values())
        elif depth and isinstance(value, list | tuple):
            items = value
        elif depth and dataclasses.is_dataclass(value):
            items = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return any(self._holds(item, depth - 1) for item in items)


class Hands(Context):
    """The context of a worker that serves the nodes of this test."""

    def __init__(self, redis: Redis, *nodes: Node) -> None:
        super().__init__(nodes[0].settings, redis, PlainKernel(), 200_000.0)
        self._served = {node.settings.node: node for node in nodes}

    def node(self, name: str) -> Node:
        return self._served[name]

    def searches(self, name: str) -> tuple[Searches, float]:
        return self._served[name].searches, 0.0

    def searches_waiting(self) -> int:
        return 0


def in_turn(_: InProcessHttp, ask: Callable[[str], Any], urls: Sequence[str]) -> list[Any]:
    """In place of threads, whose calls cannot be followed to those that started them."""
    return [outcome(ask, url) for url in urls]


def test_the_walk_in_the_documentation_is_the_one_that_the_code_takes(
    redis: Redis, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InProcessHttp, "in_parallel", in_turn)
    first = network.member("first", reward_address=MINER, automine=True, linger=0.0)
    second = network.member("second")
    first.befriend(second)
    second.befriend(first)
    monkeypatch.setattr("worker.context._context", None)
    install(Hands(redis, first.node, second.node))
    monkeypatch.setattr(first.node.rounds, "rest", lambda: 0.0)  # the clock of this test stands still
    monkeypatch.setattr(_Search, "_is_sealed", lambda *_: first.node.desk.work_off())  # in place of a thread
    transaction = first.sign(ALICE, 0)
    trace = Trace([transaction.id, str(transaction.fields["signature"])])
    with trace.recording():
        answer = first.app.test_client().post("/transactions/new", json=transaction.fields)
        [(round_id, _)] = first.queue.searches
        assert search("first", round_id) == 1
        network_jobs.announce("first", first.tip)
        network_jobs.resolve("second", HEARD)
    assert answer.status_code == 201
    assert second.tip == first.tip and second.node.chain.locate(transaction.id) is not None

    lines = walk()
    assert len(lines) > 30
    assert [line.function for line in lines if line.function not in trace.called] == []
    assert [line for line in lines if line.caller and (line.caller, line.function) not in trace.inside] == []
    assert [line for line in lines if line.script and (line.function, line.script) not in trace.scripts] == []
    assert len(trace.handed) <= MOST_FUNCTIONS, sorted(trace.handed)
