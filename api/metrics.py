"""`/metrics` for Prometheus. What a node knows is read from the store at each scrape, so any API process gives the same
answer; request times are kept by each process in files that the library adds up.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from flask import Blueprint, Flask, Response, g, request
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from api.access import node
from api.budget import Budget, Kind
from services.node import Node
from services.visible import named

blueprint = Blueprint("metrics", __name__)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SECONDS = Histogram(
    "quarry_http_request_seconds", "Time to answer, by route.", ["method", "route", "status"], buckets=_BUCKETS
)
_HELD = Gauge("quarry_http_held", "Threads held, by what for.", ["kind"], multiprocess_mode="livesum")
_LIMIT = Gauge("quarry_http_held_limit", "Threads that may be held.", ["kind"], multiprocess_mode="livesum")
_BYTES = Gauge("quarry_http_answer_bytes", "Bytes that large answers take.", multiprocess_mode="livesum")
_REFUSED = Counter("quarry_http_refused", "Requests refused since nothing was left to hold.", ["kind"])
_ENDED = Counter("quarry_http_connections_ended", "Connections ended by the node, by reason.", ["reason"])


class BudgetMetrics:
    """Shows what the connections of this process hold; `show` is called every second or so."""

    def __init__(self, budget: Budget, ended: Mapping[str, int]) -> None:
        """`ended`: how many connections were ended, by reason."""
        self._budget = budget
        self._ended = ended
        self._counted = dict.fromkeys([*Kind, *ended], 0)
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
        counter.labels(label).inc(total - self._counted[label])  # 0 as well: the series is there from the beginning
        self._counted[label] = total


def forget_dead_processes() -> None:
    """Leave out what processes of this server held that have ended."""
    directory = Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""))
    for path in directory.glob("gauge_live*_*.db") if directory.name else ():
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            multiprocess.mark_process_dead(int(pid))  # type: ignore[no-untyped-call] # untyped there


def request_seconds(method: str, route: str, status: str) -> Histogram:
    """The histogram of one kind of request, for doors that answer before Flask sees them."""
    return _SECONDS.labels(method, route, status)


def install(app: Flask) -> None:
    """Measure every request."""

    def begin() -> None:
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        # The rule, not the path: ids in labels would make a series for each.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
        began = g.pop("began", None)
        if began is not None:
            _SECONDS.labels(method, route, str(response.status_code)).observe(time.perf_counter() - began)
        return response

    app.before_request(begin)
    app.after_request(end)
    app.register_blueprint(blueprint)


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Serve the metrics.
    ---
    get:
      summary: Metrics for Prometheus
      responses: {'200': {description: Text format.}}
    """
    registry = CollectorRegistry()
    registry.register(_NodeCollector(node()))
    # Some labels are names from the store. The format escapes line breaks in them, and nothing else that hides or acts.
    text = b"\n".join(named(line).encode() for line in generate_latest(registry).decode().split("\n"))
    requests = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(requests)  # type: ignore[no-untyped-call] # untyped there
    except ValueError:  # one process only: its own registry has them
        for metric in (_SECONDS, _HELD, _LIMIT, _BYTES, _REFUSED, _ENDED):
            requests.register(metric)
    return Response(text + generate_latest(requests), content_type=CONTENT_TYPE_LATEST)


class _NodeCollector:
    """A node's numbers, read when they are asked for."""

    def __init__(self, here: Node) -> None:
        self._node = here

    def collect(self) -> Iterator[Metric]:
        yield from self._chain()
        yield from self._mempool()
        yield from self._mining()
        yield from self._network()
        yield from self._jobs()

    def _chain(self) -> Iterator[Metric]:
        tip = self._node.chain.tip()
        counters = self._node.mining.counters()
        yield GaugeMetricFamily("quarry_height", "Height of the tip.", tip.height)
        yield GaugeMetricFamily("quarry_chainwork", "Expected hashes behind the tip.", tip.chainwork)
        yield GaugeMetricFamily("quarry_tip_timestamp_seconds", "Unix time in the tip's header.", tip.timestamp)
        blocks = CounterMetricFamily("quarry_blocks", "Blocks appended, by origin.", labels=["origin"])
        for origin in ("mined", "fetched"):
            blocks.add_metric([origin], counters.get(f"blocks_{origin}", 0))
        yield blocks
        reorganisations = CounterMetricFamily(
            "quarry_reorganisations", "Reorganisations, by how many blocks were detached at least.", labels=["depth"]
        )
        for name, total in counters.items():
            if name.startswith("reorganisations_"):
                reorganisations.add_metric([name.removeprefix("reorganisations_")], total)
        yield reorganisations

    def _mempool(self) -> Iterator[Metric]:
        size, used = self._node.pool.totals()
        yield GaugeMetricFamily("quarry_mempool_transactions", "Transactions that wait.", size)
        yield GaugeMetricFamily("quarry_mempool_bytes", "Bytes of the mempool's entries.", used)
        left = CounterMetricFamily("quarry_mempool_left", "Transactions that left without a block.", labels=["status"])
        for name, total in self._node.mining.counters().items():
            if name.startswith("mempool_"):
                left.add_metric([name.removeprefix("mempool_")], total)
        yield left

    def _mining(self) -> Iterator[Metric]:
        mining = self._node.mining
        situation, counters = mining.situation(), mining.counters()
        found = mining.round(situation.open_round) if situation.open_round else None
        yield CounterMetricFamily("quarry_hashes", "Hashes done by all workers.", counters.get("hashes", 0))
        yield CounterMetricFamily(
            "quarry_wasted_hashes",
            "Hashes done after their round or template had ended.",
            counters.get("wasted_hashes", 0),
        )
        yield GaugeMetricFamily("quarry_mining_requests", "Mining requests that wait.", situation.requests)
        yield GaugeMetricFamily("quarry_round_open", "Whether a round is open.", int(found is not None))
        difficulty = int(found["difficulty"]) if found else 0
        yield GaugeMetricFamily("quarry_round_difficulty", "Difficulty of the open round.", difficulty)
        rounds = CounterMetricFamily("quarry_rounds", "Rounds, by outcome.", labels=["outcome"])
        rounds.add_metric(["opened"], counters.get("rounds_opened", 0))
        rounds.add_metric(["sealed"], counters.get("blocks_mined", 0))
        rounds.add_metric(["cancelled"], counters.get("rounds_cancelled", 0))
        yield rounds

    def _network(self) -> Iterator[Metric]:
        peers = GaugeMetricFamily("quarry_peers", "Peers, by state.", labels=["state"])
        states: dict[str, int] = dict.fromkeys(("new", "ok", "unreachable", "lying", "other_chain", "candidate"), 0)
        for peer in self._node.peers.all():
            states[peer.state] += 1
        for state, number in states.items():
            peers.add_metric([state], number)
        yield peers

    def _jobs(self) -> Iterator[Metric]:
        report = self._node.queue.report()
        waiting = GaugeMetricFamily("quarry_queue_jobs", "Jobs that wait for a worker.", labels=["queue"])
        age = GaugeMetricFamily("quarry_queue_age_seconds", "Age of the oldest job that waits.", labels=["queue"])
        workers = GaugeMetricFamily("quarry_workers", "Workers that are alive.", labels=["queue"])
        for item in report.queues:
            waiting.add_metric([item.name], item.jobs)
            age.add_metric([item.name], item.oldest_seconds)
            workers.add_metric([item.name], item.workers)
        yield from (waiting, age, workers)
        jobs = CounterMetricFamily("quarry_jobs", "Jobs that ended.", labels=["function", "outcome"])
        seconds = CounterMetricFamily("quarry_job_seconds", "Time that jobs took together.", labels=["function"])
        for (function, kind), total in sorted(report.totals.items()):
            if kind == "seconds":
                seconds.add_metric([function], total)
            else:
                jobs.add_metric([function, kind], total)
        yield from (jobs, seconds)
