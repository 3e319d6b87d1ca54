"""The ports between a node and the world: clock, randomness, queue and store. The port of HTTP to peers is in
`services/peers/http.py`.

Production and the simulation differ only in what is behind these ports. Other modules that import `time`, `random` or
an HTTP client are listed in tests/unit/repository/test_ports_only.py, with the reason.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Clock(Protocol):
    """Wall-clock time."""

    def now(self) -> float:
        """Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Randomness(Protocol):
    """Where ids come from."""

    def token(self) -> str:
        """32 lower-case hex digits that cannot be guessed."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """The state of one queue."""

    name: str
    jobs: int  # that wait
    oldest_seconds: float  # how long the oldest has waited
    workers: int  # that are alive


@dataclass(frozen=True, slots=True)
class QueueTrouble:
    """Why jobs may not run although there are workers."""

    suspended: bool  # an operator has suspended all workers (`rq suspend`)
    strangers: int  # workers on our queues that are not Quarry's: they take jobs that they cannot run


@dataclass(frozen=True, slots=True)
class QueueReport:
    """The state of all queues, for operators."""

    queues: tuple[QueueState, ...]
    totals: Mapping[tuple[str, str], float]  # (function, what `services.jobs.totals` counts)


class Queue(Protocol):
    """Where jobs go. Jobs are hints: housekeeping enqueues a lost one again, and a duplicate is harmless."""

    def enqueue_search(self, node: str, round_id: str, height: int | None, copies: int) -> None:
        """Ask `copies` mining workers to take part in a round. `height`, if known, is for the job's description."""

    def enqueue_network(self, function: str, node: str, job_id: str, *args: str) -> bool:
        """Enqueue a job on the network queue; False if a job with this id is there already, or the queue is full."""

    def mining_workers(self) -> int:
        """How many mining workers are alive, without those that are not Quarry's."""

    def network_workers(self) -> int:
        """How many network workers are alive, without those that are not Quarry's."""

    def trouble(self) -> QueueTrouble:
        """Whether workers are suspended, and how many foreign workers take their jobs."""

    def report(self) -> QueueReport:
        """The state of the queues, and what their jobs have cost so far."""


# The Redis commands that Quarry uses outside its scripts, with the types that they have here. redis-py types every
# reply as bytes or text or a future of either. Quarry's connections always return bytes, so `as_store`
# (services/connections/servers.py) gives them these types. fakeredis fits as well.
EventFields = dict[bytes, bytes]


class Pipeline(Protocol):
    """Commands sent together; `execute` returns their replies in order."""

    def hgetall(self, name: str) -> Any: ...
    def hget(self, name: str, key: str | bytes) -> Any: ...
    def hlen(self, name: str) -> Any: ...
    def hmget(self, name: str, keys: list[str] | list[bytes]) -> Any: ...
    def hset(self, name: str, key: str | bytes, value: str | bytes) -> Any: ...
    def hdel(self, name: str, *keys: str | bytes) -> Any: ...
    def lset(self, name: str, index: int, value: str) -> Any: ...
    def llen(self, name: str) -> Any: ...
    def lrange(self, name: str, start: int, end: int) -> Any: ...
    def get(self, name: str) -> Any: ...
    def rpush(self, name: str, *values: str) -> Any: ...
    def ltrim(self, name: str, start: int, end: int) -> Any: ...
    def lrem(self, name: str, count: int, value: str | bytes) -> Any: ...
    def zadd(self, name: str, mapping: Mapping[str, float]) -> Any: ...
    def zrem(self, name: str, *values: str) -> Any: ...
    def zscore(self, name: str, value: str) -> Any: ...
    def set(self, name: str, value: str, *, ex: int) -> Any: ...
    def delete(self, *names: str) -> Any: ...
    def zremrangebyscore(self, name: str, min: str | float, max: str | float) -> Any: ...
    def zcard(self, name: str) -> Any: ...
    def zcount(self, name: str, min: float, max: float) -> Any: ...
    def zrange(self, name: str, start: int, end: int, *, desc: bool = False, withscores: bool = False) -> Any: ...
    def execute_command(self, *args: Any) -> Any: ...
    def execute(self, raise_on_error: bool = True) -> list[Any]: ...


class Store(Protocol):
    """One Redis or Valkey database."""

    def ping(self) -> bool: ...
    def info(self, section: str) -> Mapping[str, Any]: ...
    def time(self) -> tuple[int, int]: ...
    def close(self) -> None: ...
    def get(self, name: str) -> bytes | None: ...
    def set(self, name: str, value: str) -> Any: ...
    def incr(self, name: str) -> int: ...
    def hget(self, name: str, key: str | bytes) -> bytes | None: ...
    def hgetall(self, name: str) -> dict[bytes, bytes]: ...
    def hmget(self, name: str, keys: list[str] | list[bytes]) -> list[bytes | None]: ...
    def hexists(self, name: str, key: str) -> bool: ...
    def hset(self, name: str, key: str, value: str) -> int: ...
    def hdel(self, name: str, *keys: str) -> int: ...
    def hlen(self, name: str) -> int: ...
    def hscan(self, name: str, cursor: int = 0, *, count: int | None = None) -> tuple[int, dict[bytes, bytes]]: ...
    def scan(self, cursor: int = 0, match: str | None = None, count: int | None = None) -> tuple[int, list[bytes]]: ...
    def llen(self, name: str) -> int: ...
    def lindex(self, name: str, index: int) -> bytes | None: ...
    def lrange(self, name: str, start: int, end: int) -> list[bytes]: ...
    def blmove(self, first_list: str, second_list: str, timeout: float, *, src: str, dest: str) -> bytes | None: ...
    def zadd(self, name: str, mapping: Mapping[str, float]) -> int: ...
    def zrem(self, name: str, *values: str) -> int: ...
    def zrange(
        self,
        name: str,
        start: str | float,
        end: str | float,
        *,
        bylex: bool = False,
        byscore: bool = False,
        offset: int | None = None,
        num: int | None = None,
    ) -> list[bytes]: ...
    def xrevrange(self, name: str, *, count: int) -> list[tuple[bytes, EventFields]]: ...
    def xrange(self, name: str, *, min: str, max: str, count: int) -> list[tuple[bytes, EventFields]]: ...
    def xread(
        self, streams: Mapping[str, str], *, count: int, block: int
    ) -> list[tuple[bytes, list[tuple[bytes, EventFields]]]]: ...
    def pipeline(self, *, transaction: bool) -> Pipeline: ...
    def register_script(self, script: str) -> Callable[..., Any]: ...


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
