"""The ports between a node and the world: clock, randomness and queue. The store's is `services/store/port.py`, that of
HTTP to peers `services/peers/http.py`.

Production and the simulation differ in nothing else. Other modules that import `time`, `random` or an HTTP client are
listed in tests/unit/repository/test_ports_only.py, with the reason.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> float:
        """Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Randomness(Protocol):
    """Where ids come from."""

    def token(self) -> str:
        """32 lower-case hex digits that nobody can guess."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue, as it is now."""

    name: str
    jobs: int  # that wait
    oldest_seconds: float  # how long the oldest has waited
    workers: int  # that are alive


@dataclass(frozen=True, slots=True)
class QueueTrouble:
    """What keeps jobs from being done although workers are there."""

    suspended: bool  # all workers were told to rest (`rq suspend`)
    strangers: int  # workers on our queues that are not Quarry's: they take jobs and cannot do them


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What operators want to know of the queues."""

    queues: tuple[QueueState, ...]
    totals: Mapping[tuple[str, str], float]  # (function, finished | failed | seconds)


class Queue(Protocol):
    """Where jobs go. Jobs are hints: a lost one is rebuilt by the reconciler, a doubled one is harmless."""

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        """Ask `copies` mining workers to take part in a round. `height`: for people who read the queue, where known."""

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        """Enqueue a job on the network queue once per `job_id`; False when it is there already."""

    def mining_workers(self) -> int:
        """How many mining workers are alive. Workers that are not Quarry's are not counted."""

    def network_workers(self) -> int:
        """How many network workers are alive. As above."""

    def trouble(self) -> QueueTrouble:
        """Whether workers rest, and whether others take their jobs."""

    def report(self) -> QueueReport:
        """How the queues are doing."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemRandomness:
    """The operating system's randomness."""

    def token(self) -> str:
        return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that the parts of a node share."""

    clock: Clock
    queue: Queue
    randomness: Randomness
