"""A lab that only notes what is asked of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from lab.interface import Conditions, LabBlock, LabError
from lab.recording import Recorder
from lab.strategy import Strategy
from lab.verdicts import Observation
from services.settings.table import load_spec

GENESIS = LabBlock("g" * 64, "-", 1, 0, None, 0.0, 0.0)


class FakeLink:
    def __init__(self, lab: FakeLab, a: int, b: int) -> None:
        self._lab, self._name = lab, f"{a}>{b}"
        self.conditions = Conditions()

    def set(self, **changes: Any) -> None:
        self._lab.calls.append(("set", self._name, changes))

    def cut(self) -> None:
        self._lab.calls.append(("cut", self._name))

    def restore(self) -> None:
        self._lab.calls.append(("restore", self._name))


class FakeNode:
    def __init__(self, lab: FakeLab, number: int) -> None:
        self._lab = lab
        self.number = number
        self.name = f"node {number}"
        self.state: Any = "running"
        self.wallet = f"wallet{number}"
        self.knows: set[str] = set()  # transactions

    def tip(self) -> LabBlock:
        return GENESIS

    def balance(self, address: str) -> int:
        return 0

    def limit(self, hash_rate: Any) -> None:
        self._lab.calls.append(("limit", self.number, hash_rate))

    def mine(self, blocks: int = 1) -> None:
        self._lab.calls.append(("mine", self.number, blocks))

    def next_nonce(self) -> int:
        return 7

    def send(self, to: Any, amount: Any, nonce: int | None = None, fee: Any = None, at: Any = None) -> str:
        if amount == "too much":
            raise LabError("node 1: That is not an amount.")
        self._lab.calls.append(("send", self.number, to.number, amount, nonce, None if at is None else at.number))
        return f"tx{len(self._lab.calls)}"

    def depth(self, transaction: str) -> int | None:
        return 1 if transaction in self.knows else None

    def stop(self) -> None:
        self._lab.calls.append(("stop", self.number))
        self.state = "stopped"

    def kill(self) -> None:
        self._lab.calls.append(("kill", self.number))
        self.state = "killed"

    def start(self) -> None:
        self._lab.calls.append(("start", self.number))
        self.state = "running"


class FakeLab:
    """`calls` are what was asked, in order."""

    world: Any = "real"

    def __init__(self, nodes: int = 4, spec: Any = None, seed: int = 1, recorder: Recorder | None = None) -> None:
        self.seed = seed
        self.spec = spec or load_spec("dev")
        self.random = random.Random(seed)
        self.recorder = recorder or Recorder()
        self.observations: list[Observation] = []
        self.calls: list[tuple[Any, ...]] = []
        self.nodes: Sequence[FakeNode] = [FakeNode(self, number) for number in range(1, nodes + 1)]
        self.now = 0.0

    def node(self, number: int) -> FakeNode:
        if not 1 <= number <= len(self.nodes):
            raise LabError(f"There is no node {number}: the lab has {len(self.nodes)}.")
        return self.nodes[number - 1]

    def link(self, a: int, b: int) -> FakeLink:
        self.node(a), self.node(b)
        return FakeLink(self, a, b)

    def partition(self, *groups: Sequence[int]) -> None:
        self.calls.append(("partition", *groups))

    def heal(self) -> None:
        self.calls.append(("heal",))

    def strategy(self, number: int, strategy: Strategy | None) -> None:
        self.calls.append(("strategy", number, None if strategy is None else strategy.name))

    def lie(self, claimed_blocks: int = 1000) -> None:
        self.calls.append(("lie", claimed_blocks))

    def mining(self, on: bool) -> None:
        self.calls.append(("mining", on))

    def blocks(self) -> Sequence[LabBlock]:
        return [GENESIS]

    def propagation(self) -> float | None:
        return None

    def wait(self, condition: Callable[[], bool], within: float, until: str = "the condition holds") -> None:
        assert condition()

    def run_for(self, seconds: float) -> None:
        self.now += seconds

    def say(self, text: str) -> None:
        self.recorder.note(self.now, "said", text=text)

    def check(self, claim: str, held: bool, value: float | None = None) -> None:
        self.observations.append(Observation(claim, held, value))

    def measure(self, claim: str, value: float, *, expected: float | None = None, trials: int | None = None) -> None:
        self.observations.append(Observation(claim, True, value, expected, trials, measured=True))

    def close(self) -> None:
        self.calls.append(("close",))
