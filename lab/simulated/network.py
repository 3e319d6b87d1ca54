"""What a simulated network is for its nodes: time, chance, what connects them, and a log of what happened."""

from __future__ import annotations

import hashlib
import json
import random
import traceback
from collections import Counter
from collections.abc import Callable, Set
from typing import Any, Protocol

from flask import Flask

from lab.simulated.checker import Checker, Tree, Violation
from lab.simulated.node import SimNode, url_of
from lab.simulated.plan import START, Plan
from lab.simulated.scheduler import Killed, Scheduler
from lab.simulated.strangers import Questions
from shared.chain_spec import ChainSpec
from shared.keys import KeyPair
from shared.rules import rules_for

# Applications without a node. They take long to build, so all networks share them.
_apps: list[Flask] = []


class Stranger(Protocol):
    """A peer that is no node."""

    def serve(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body of the answer."""


class Network:
    """The network of one plan, without its nodes, which are added to `nodes` and `by_url`."""

    short_pages = True  # a few headers or blocks a page
    ease = 1  # by how much hashes of proofs are divided (`surroundings.easy_hashes`)

    def __init__(self, plan: Plan, *, keep_log: bool = False) -> None:
        self.plan = plan
        self.random = random.Random(f"{plan.seed}-{plan.mode}-run")
        self.faults = plan.faults
        self.scheduler = Scheduler(self._crashed)
        self.counts: Counter[str] = Counter()
        self.failure: str | None = None
        self.last_bug = ""
        self.lines: list[str] = []
        self._keep = keep_log
        self._digest = hashlib.sha256()
        self.apps = _apps
        self.tree = Tree(rules_for(plan.spec))
        self.miners = [KeyPair(bytes([7, index]) * 16).address for index in range(plan.nodes)]
        self.honest = frozenset(url_of(index) for index in range(plan.nodes))
        self.questions = Questions()
        self.nodes: list[SimNode] = []
        self.by_url: dict[str, SimNode] = {}
        self.strangers: dict[str, Stranger] = {}
        self.unrepeatable: Set[str] = frozenset()  # URLs to which no request is doubled
        self._sides: dict[str, int] = {}  # URL -> its side of the partition

    # --- for the nodes ---

    def spec_of(self, index: int) -> ChainSpec:
        """The chain spec of a node, with its upgrades."""
        return self.plan.spec

    def sealer_of(self, index: int) -> KeyPair | None:
        """The key by which a node signs templates."""
        return None

    def checker_of(self, index: int, name: str, raw: Any) -> Checker:
        """What must hold in a node's store."""
        return Checker(name, raw, self.tree, self.honest)

    # --- for the ports ---

    @property
    def time(self) -> float:
        """Unix seconds on a right clock."""
        return START + self.scheduler.now

    def delay(self) -> float:
        """Seconds until something small happens: a job is taken, a process starts."""
        return self.random.expovariate(10.0)

    def met(self, what: str) -> None:
        self.counts[what] += 1

    def log(self, line: str) -> None:
        """Note an event. The same seed must give the same log."""
        text = f"{self.scheduler.now:.6f} {line}"
        self._digest.update(text.encode())
        if self._keep:
            self.lines.append(text)

    @property
    def digest(self) -> str:
        """SHA-256 of the log, hex."""
        return self._digest.hexdigest()

    def reorganising(self, node: SimNode) -> None:
        """A reorganisation of a node is interrupted for some seconds."""

    def fail(self, what: str) -> None:
        """End the run, as a promise was broken. Does not return inside of tasks."""
        if self.failure is None:
            self.failure = what
            self.log(f"FAILED {what}")
        raise Killed(None)

    def connected(self, a: str, b: str) -> bool:
        return self._sides.get(a, 0) == self._sides.get(b, 0)

    def serve(self, url: str, method: str, path: str, body: bytes | None) -> tuple[int, bytes] | None:
        """Let the node or peer at `url` answer. None: the connection is refused or cut."""
        stranger = self.strangers.get(url)
        if stranger is not None:
            return stranger.serve(method, path, body)
        node = self.by_url[url]
        answer = node.serve(method, path, body)
        if answer is not None and path.startswith("/transactions/") and 200 <= answer[0] < 300:
            self._acknowledged(node, json.loads(answer[1]))
        return answer

    def _acknowledged(self, node: SimNode, answer: Any) -> None:
        """Note what the node has acknowledged: from now on it must not lose it."""
        results = answer.get("results", [{"status": "accepted", **answer}])
        new = {item["id"] for item in results if item["status"] == "accepted"} - node.checker.acknowledged
        if new:
            self.counts["acknowledged"] += len(new)
            self.log(f"{node.name} acknowledged {sorted(item[:8] for item in new)}")
            node.checker.acknowledged |= new
            self.judge(node, node.checker.check_all)

    def judge(self, node: SimNode, check: Callable[[], None]) -> None:
        """Run a check of the checker's. A promise that is broken ends the run."""
        try:
            check()
        except Violation as violation:
            self.fail(f"{node.name}: {violation}")

    def _crashed(self, task: str, error: BaseException) -> None:
        if self.failure is None:
            where = "".join(traceback.format_exception(error))
            self.failure = f"{task}: {type(error).__name__}: {error}\n{where}"

    # --- running ---

    def until(self, when: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Run until `done()` or until the time `when`; whether it was done.

        Raises:
            Killed: the run has failed.
        """
        self.scheduler.run(lambda: self.failure is not None or self.scheduler.now >= when or done())
        if self.failure is not None:
            raise Killed(None)
        return done()

    def every(self, seconds: float, action: Callable[[], None], first: float) -> None:
        """Call `action` outside of tasks again and again."""

        def again() -> None:
            action()
            self.scheduler.after(seconds, again)

        self.scheduler.after(first, again)
