"""Metrics of what the connections of all server processes hold (api/serving/budget.py).

`prometheus_client` reads PROMETHEUS_MULTIPROC_DIR when it is imported, so it is imported when the metrics are made.
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from api.serving.budget import Budget, Kind

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter

# Why connections are ended (api/serving/connections.py).
REASONS = ("idle", "slow_body", "slow_reader")


class _Metrics:
    """The metrics of this process."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge

        live: Literal["livesum"] = "livesum"
        self.held = Gauge("quarry_http_held", "Threads held, by kind of use.", ["kind"], multiprocess_mode=live)
        self.limit = Gauge("quarry_http_held_limit", "Threads that a kind may hold.", ["kind"], multiprocess_mode=live)
        self.bytes = Gauge("quarry_http_answer_bytes", "Bytes that large answers take.", multiprocess_mode=live)
        self.refused = Counter("quarry_http_refused", "Requests refused because nothing was left to hold.", ["kind"])
        self.ended = Counter("quarry_http_connections_ended", "Connections ended by the node, by reason.", ["reason"])
        for kind in Kind:  # every series starts at 0: Prometheus sees no increase in one that appears at 1
            self.refused.labels(kind.value)
        for reason in REASONS:
            self.ended.labels(reason)


@cache
def _metrics() -> _Metrics:
    return _Metrics()


class BudgetMetrics:
    """Copies the state of this process's budget into the metrics; `show` is called about once a second."""

    def __init__(self, budget: Budget, ended: Mapping[str, int]) -> None:
        """`ended`: how many connections were ended, by reason."""
        self._metrics = _metrics()
        self._budget = budget
        self._ended = ended
        self._counted = dict.fromkeys([*Kind, *REASONS], 0)
        for kind in Kind:
            self._metrics.limit.labels(kind.value).set(budget.shares.limit(kind))
        self.show()

    def show(self) -> None:
        for kind in Kind:
            self._metrics.held.labels(kind.value).set(self._budget.held(kind))
            self._count(self._metrics.refused, kind.value, self._budget.refused(kind))
        self._metrics.bytes.set(self._budget.bytes_held)
        for reason, total in self._ended.items():
            self._count(self._metrics.ended, reason, total)

    def _count(self, counter: "Counter", label: str, total: int) -> None:
        counter.labels(label).inc(total - self._counted[label])
        self._counted[label] = total


def forget_dead_processes() -> None:
    """Remove the gauges of server processes that have ended."""
    from prometheus_client import multiprocess

    directory = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    for path in directory.glob("gauge_live*_*.db") if directory.name else ():
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            multiprocess.mark_process_dead(int(pid))  # type: ignore[no-untyped-call] # untyped there


def register(registry: "CollectorRegistry") -> None:
    """Have `registry` collect these, where the server is a single process."""
    made = _metrics()
    for metric in (made.held, made.limit, made.bytes, made.refused, made.ended):
        registry.register(metric)
