"""What a scenario sees: a lab, its nodes and its links, the same in the real and in the simulated world.

Nodes are numbered from 1. Times are seconds: of a wall clock in the real world, virtual in the simulated one.
Hash rates are texts such as `1.5MH/s`, or hashes per second as a number. Amounts are texts or numbers of coins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lab.recording import GREATEST
from lab.strategy import Strategy
from lab.verdicts import Observation
from shared.chain_spec import ChainSpec

World = Literal["real", "simulated"]
NodeState = Literal["running", "stopped", "killed"]


class LabError(Exception):
    """A lab cannot do what was asked: one sentence for the person who asked."""


class NotReached(LabError):
    """A condition that a scenario waited for did not come true in time."""


@dataclass(frozen=True, slots=True)
class LabBlock:
    """A block as the lab knows it, whichever node has it."""

    hash: str
    parent: str
    height: int
    chainwork: int
    finder: int | None  # number of the node that found it; None: genesis, or a stranger's block
    found_at: float  # seconds since the lab began
    timestamp: float  # Unix seconds, as the header claims
    transactions: tuple[str, ...] = ()  # ids, the reward's not included
    fees: int = 0  # base units that its transactions pay to its finder


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a link does to each message."""

    latency: float = 0.0  # seconds, one way
    jitter: float = 0.0  # seconds: up to so much is added, drawn uniformly
    rate: float | None = None  # bytes per second; None: no limit
    cut: bool = False


class Link(Protocol):
    """One direction between two nodes: what the second hears from the first."""

    def set(self, *, latency: float | None = None, jitter: float | None = None, rate: float | None = None) -> None:
        """Change what is named; the rest stays. A rate of 0 ends the limit."""

    def cut(self) -> None:
        """Refuse connections, and end those that are open."""

    def restore(self) -> None:
        """End the cut. Latency, jitter and rate stay."""

    @property
    def conditions(self) -> Conditions: ...


class LabNode(Protocol):
    """One node. Methods raise `LabError` where the node cannot answer."""

    number: int
    name: str  # "node 1"

    @property
    def state(self) -> NodeState: ...

    @property
    def wallet(self) -> str:
        """The address that the node mines to and pays from."""

    def tip(self) -> LabBlock: ...

    def balance(self, address: str) -> int:
        """Base units at the node's tip."""

    def limit(self, hash_rate: str | float | None) -> None:
        """Bound the hash rate of all workers of the node together. None: no bound. 0: it mines nothing."""

    def mine(self, blocks: int = 1) -> None:
        """Have the node find so many blocks on its tip, and wait for them."""

    def send(
        self,
        to: str | LabNode,
        amount: str | float,
        nonce: int | None = None,
        fee: str | float | None = None,
        at: LabNode | None = None,
    ) -> str:
        """Pay from the node's wallet; the transaction's id.

        Args:
            nonce: None: the next one. One that was used already makes a conflicting payment.
            fee: None: the least that is accepted.
            at: the node that gets the payment first. None: this one.
        """

    def next_nonce(self) -> int:
        """The nonce of the wallet's next payment, those that wait included."""

    def depth(self, transaction: str) -> int | None:
        """Confirmations at the node's tip: 1 in the tip itself, 0 in the mempool; None: the node does not know it."""

    def stop(self) -> None:
        """End the node in an orderly way."""

    def kill(self) -> None:
        """End all processes of the node at once, as a power cut does."""

    def start(self) -> None:
        """Start the node again, with what it had stored."""


class Lab(Protocol):
    """A network made to be broken."""

    world: World
    seed: int
    spec: ChainSpec
    random: random.Random  # for the scenario's own draws; seeded by `seed`
    observations: list[Observation]  # what `check` and `measure` noted, in order

    @property
    def nodes(self) -> Sequence[LabNode]: ...

    @property
    def now(self) -> float:
        """Seconds since the lab began."""

    def node(self, number: int) -> LabNode:
        """A node by its number, from 1. Raises `LabError`: there is none of this number."""

    def link(self, a: int, b: int) -> Link:
        """What `b` hears from `a`: requests and news that `a` sends, and answers that `a` gives to `b`."""

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut all links between nodes of different groups. Nodes that are not named are a group of their own."""

    def heal(self) -> None:
        """End every cut."""

    def strategy(self, number: int, strategy: Strategy | None) -> None:
        """Have a node's blocks published by a strategy. None: at once, as every ordinary node does."""

    def lie(self, claimed_blocks: int = 1000) -> None:
        """Add a peer that claims a branch of so many blocks more than the best, for which it did no work."""

    def mining(self, on: bool) -> None:
        """Whether nodes mine all the time, each at its hash rate, or only when told. They do from the beginning."""

    def blocks(self) -> Sequence[LabBlock]:
        """Every block that some node knows, parents first; genesis is the first."""

    def propagation(self) -> float | None:
        """Mean seconds from the finding of a block until another node had it. None: no block has reached one.

        It is more than the latency of a link where nodes ask for headers before they ask for a block.
        """

    def wait(self, condition: Callable[[], bool], within: float, until: str = "the condition holds") -> None:
        """Let time pass until the condition holds. Raises `NotReached` after `within` seconds."""

    def run_for(self, seconds: float) -> None:
        """Let time pass."""

    def say(self, text: str) -> None:
        """Tell the person who watches what happens and why."""

    def check(self, claim: str, held: bool, value: float | None = None) -> None:
        """Claim something that must hold in every run."""

    def measure(self, claim: str, value: float, *, expected: float | None = None, trials: int | None = None) -> None:
        """Claim that a figure has an expected value, within chance.

        Args:
            value: what this run gave. Over several seeds the mean is compared.
            expected: what the formula says; None: the figure is reported only.
            trials: the run's value is a share of so many independent trials, so that one run has an interval too.
                With 0, the run says nothing of the figure.
        """

    def close(self) -> None:
        """End the lab and everything that it started."""


class Claims:
    """What a scenario claims: the part of a lab that is the same in every world."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []

    def check(self, claim: str, held: bool, value: float | None = None) -> None:
        self.observations.append(Observation(str(claim), bool(held), None if value is None else _figure(value)))

    def measure(self, claim: str, value: float, *, expected: float | None = None, trials: int | None = None) -> None:
        if trials is not None and not (trials >= 0 and 0 <= _figure(value) <= 1):
            raise LabError(f"A share of {trials} trials cannot be {value}.")
        expected = None if expected is None else _figure(expected)
        self.observations.append(Observation(str(claim), True, _figure(value), expected, trials, measured=True))


def _figure(value: float) -> float:
    """A figure that can be compared and written down. Raises `LabError`: it is none."""
    if isinstance(value, int | float) and abs(value) <= GREATEST:
        return value
    raise LabError(f"A figure is a number, not {str(value)[:40]!r}.")
