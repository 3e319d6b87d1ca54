"""Metrics of what the connections of all server processes hold (api/serving/budget.py)."""

import os
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, multiprocess

from api.serving.budget import Budget, Kind

# Why connections are ended (api/serving/connections.py).
REASONS = ("idle", "slow_body", "slow_reader")

_HELD = Gauge("quarry_http_held", "Threads held, by kind of use.", ["kind"], multiprocess_mode="livesum")
_LIMIT = Gauge("quarry_http_held_limit", "Threads that a kind may hold.", ["kind"], multiprocess_mode="livesum")
_BYTES = Gauge("quarry_http_answer_bytes", "Bytes that large answers take.", multiprocess_mode="livesum")
_REFUSED = Counter("quarry_http_refused", "Requests refused because nothing was left to hold.", ["kind"])
_ENDED = Counter("quarry_http_connections_ended", "Connections ended by the node, by reason.", ["reason"])
for _kind in Kind:  # every series starts at 0: Prometheus sees no increase in one that appears at 1
    _REFUSED.labels(_kind.value)
for _reason in REASONS:
    _ENDED.labels(_reason)


class BudgetMetrics:
    """Copies the state of this process's budget into the metrics; `show` is called about once a second."""

    def __init__(self, budget: Budget, ended: Mapping[str, int]) -> None:
        """`ended`: how many connections were ended, by reason."""
        self._budget = budget
        self._ended = ended
        self._counted = dict.fromkeys([*Kind, *REASONS], 0)
        for kind in Kind:
            _LIMIT.labels(kind.value).set(budget.shares.limit(kind))
        self.show()

    def show(self) -> None:
        for kind in Kind:
            _HELD.labels(kind.value).set(self._budget.held(kind))
            self._count(_REFUSED, kind.value, self._budget.refused(kind))
        _BYTES.set(self._budget.bytes_held)
        for reason, total in self._ended.items():
            self._count(_ENDED, reason, total)

    def _count(self, counter: Counter, label: str, total: int) -> None:
        counter.labels(label).inc(total - self._counted[label])
        self._counted[label] = total


def forget_dead_processes() -> None:
    """Remove the gauges of server processes that have ended."""
    directory = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    for path in directory.glob("gauge_live*_*.db") if directory.name else ():
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            multiprocess.mark_process_dead(int(pid))  # type: ignore[no-untyped-call] # untyped there


def register(registry: CollectorRegistry) -> None:
    """Have `registry` collect these, where the server is a single process."""
    for metric in (_HELD, _LIMIT, _BYTES, _REFUSED, _ENDED):
        registry.register(metric)
