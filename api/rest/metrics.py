"""`/metrics` for Prometheus.

The numbers of the node are read from the store at each scrape, so every API process gives the same answer. Each process
keeps its request times in files, which the library adds up.
"""

from collections.abc import Iterator, Mapping
from typing import get_args

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from api.access import current_node
from api.serving import held_metrics, request_metrics
from services.jobs.queues import ALLOWED
from services.jobs.totals import BOUNDS, Part, histogram
from services.mining.demand import workers_wanted
from services.node import Node
from services.peers.book import State
from services.store.overview import NodeOverview, server_memory
from services.system.files import disk_room
from services.system.visible import named

blueprint = Blueprint("metrics", __name__)

# Classes of statuses instead of statuses, so that every series can exist from the beginning, at 0.
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")

# Every label that a script can count under. Prometheus sees no increase in a series that appears at 1, so no alert
# would fire for the first event. Therefore all series exist from the beginning, at 0.
_DEPTHS = ("0", "1", "2", "5", "10", "100")  # swap.lua
_LEAVING = ("replaced", "evicted", "expired", "dropped", "reverted")  # pool_record in pool.lua
_FUNCTIONS = tuple(sorted(name.rpartition(".")[2] for name in ALLOWED))
_OUTCOMES = ("finished", "failed")


@blueprint.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Serve the metrics.
    ---
    get:
      summary: Metrics for Prometheus
      responses: {'200': {description: Text format., text: text/plain}}
    """
    registry = CollectorRegistry()
    registry.register(_NodeCollector(current_node()))
    # Some labels are names from the store. The format escapes line breaks in them, but no other control characters.
    text = b"\n".join(named(line).encode() for line in generate_latest(registry).decode().split("\n"))
    requests = CollectorRegistry()
    try:
        multiprocess.MultiProcessCollector(requests)  # type: ignore[no-untyped-call] # untyped there
    except ValueError:  # the server is a single process: there are no files
        request_metrics.register(requests)
        held_metrics.register(requests)
    totals = CollectorRegistry()
    totals.register(_Responses(requests))
    return Response(text + generate_latest(requests) + generate_latest(totals), content_type=CONTENT_TYPE_LATEST)


class _Responses:
    """Responses by class of status, added up from the histogram at each scrape, which costs requests nothing."""

    def __init__(self, requests: CollectorRegistry) -> None:
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        totals = dict.fromkeys(_CLASSES, 0.0)
        for metric in self._requests.collect():
            for sample in metric.samples:
                if sample.name == "quarry_http_request_seconds_count":
                    totals[f"{sample.labels['status'][0]}xx"] += sample.value
        found = CounterMetricFamily("quarry_responses", "Responses, by class of status.", labels=["class"])
        for name, total in totals.items():
            found.add_metric([name], total)
        yield found


class _NodeCollector:
    """The numbers of a node, read at each scrape."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        state = self._node.overview()
        counters = state.counters
        yield GaugeMetricFamily(
            "quarry_ledger_differs",
            "1 while the stored state is known to differ from what the blocks give, else 0.",
            int(state.differs),
        )
        yield from _chain(state, counters)
        yield from _mempool(state, counters)
        yield from _mining(state, counters)
        yield from self._demand(state)
        yield from self._network()
        yield from self._jobs()
        yield from self._packs()
        yield from self._room()
        yield GaugeMetricFamily(
            "quarry_wrong_clocks",
            "Machines of the node, workers and peers whose clock differs too much from the others'.",
            len(self._node.wrong_clocks()),
        )

    def _demand(self, state: NodeOverview) -> Iterator[Metric]:
        settings, expected = self._node.settings, state.figures.expected_seconds if state.figures else None
        yield GaugeMetricFamily(
            "quarry_round_expected_seconds",
            "Seconds until a proof is found, on average; 0: no round is open, or nobody searches.",
            expected or 0.0,
        )
        wanted = workers_wanted(
            settings.spec,
            state.round,
            state.figures,
            round_seconds=settings.target_round,
            hash_rate=settings.target_rate,
        )
        yield GaugeMetricFamily(
            "quarry_workers_wanted", "Mining workers that should run, by QUARRY_TARGET_ROUND or _RATE.", wanted
        )

    def _network(self) -> Iterator[Metric]:
        peers = GaugeMetricFamily("quarry_peers", "Peers, by state.", labels=["state"])
        states: dict[str, int] = dict.fromkeys(get_args(State), 0)
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
        jobs = CounterMetricFamily(
            "quarry_jobs", "Jobs that ended, and runs of the ticker's housekeeping.", labels=["function", "outcome"]
        )
        seconds = CounterMetricFamily("quarry_job_seconds", "Total time of jobs, in seconds.", labels=["function"])
        for function in _FUNCTIONS:
            seconds.add_metric([function], report.totals.get((function, "seconds"), 0))
            for outcome in _OUTCOMES:
                jobs.add_metric([function, outcome], report.totals.get((function, outcome), 0))
        yield from (jobs, seconds)
        yield _lengths("quarry_job_wait_seconds", "Time of jobs from queue to start.", "wait", report.totals)
        yield _lengths("quarry_job_run_seconds", "Time of jobs from start to end.", "run", report.totals)

    def _packs(self) -> Iterator[Metric]:
        """The packs of old blocks."""
        packed = self._node.chain.packs.totals()
        yield GaugeMetricFamily("quarry_packed_blocks", "Old blocks that are packed.", packed.blocks)
        yield GaugeMetricFamily(
            "quarry_kept_from_height", "Height from which on whole blocks are kept (QUARRY_KEEP).", packed.pruned + 1
        )
        yield GaugeMetricFamily("quarry_packed_bytes", "Bytes of the packs of old blocks.", packed.bytes)
        yield CounterMetricFamily(
            "quarry_pack_seconds", "Seconds that packing old blocks has taken.", packed.microseconds / 1e6
        )

    def _room(self) -> Iterator[Metric]:
        """How much memory and disk is left. The disk is that of this process's machine."""
        settings = self._node.settings
        servers = {"chain": self._node.overviews.memory()}
        if self._node.broker is not None and settings.broker_url != settings.redis_url:
            servers["broker"] = server_memory(self._node.broker)
        used = GaugeMetricFamily("quarry_store_memory_bytes", "Memory that a store uses.", labels=["store"])
        limit = GaugeMetricFamily(
            "quarry_store_memory_limit_bytes",
            "The most memory that a store may use: its maxmemory, else the memory of its machine.",
            labels=["store"],
        )
        for name, memory in servers.items():
            if memory is None:
                continue
            used.add_metric([name], memory.used)
            limit.add_metric([name], memory.limit)
        yield from (used, limit)
        if settings.data_dir is not None:
            free, total = disk_room(settings.data_dir)
            yield GaugeMetricFamily("quarry_disk_free_bytes", "Free bytes on the disk of the data directory.", free)
            yield GaugeMetricFamily("quarry_disk_bytes", "Size of the disk of the data directory.", total)


def _lengths(name: str, text: str, part: Part, totals: Mapping[tuple[str, str], float]) -> Metric:
    found = HistogramMetricFamily(name, text, labels=["function"])
    bounds = [*map(str, BOUNDS), "+Inf"]
    for function in _FUNCTIONS:
        cumulative, seconds = histogram(totals, function, part)
        found.add_metric([function], list(zip(bounds, cumulative, strict=True)), seconds)
    return found


def _chain(state: NodeOverview, counters: Mapping[str, int]) -> Iterator[Metric]:
    tip = state.tip
    yield GaugeMetricFamily("quarry_height", "Height of the tip.", tip.height)
    yield GaugeMetricFamily("quarry_chainwork", "Expected hashes behind the tip.", tip.chainwork)
    yield GaugeMetricFamily("quarry_tip_timestamp_seconds", "Unix time in the tip's header.", tip.timestamp)
    blocks = CounterMetricFamily("quarry_blocks", "Blocks appended, by origin.", labels=["origin"])
    for origin in ("mined", "fetched"):
        blocks.add_metric([origin], counters.get(f"blocks_{origin}", 0))
    yield blocks
    reorganisations = CounterMetricFamily(
        "quarry_reorganisations",
        "Reorganisations; depth is the lower bound of the number of detached blocks.",
        labels=["depth"],
    )
    for depth in _DEPTHS:
        reorganisations.add_metric([depth], counters.get(f"reorganisations_{depth}", 0))
    yield reorganisations


def _mempool(state: NodeOverview, counters: Mapping[str, int]) -> Iterator[Metric]:
    yield GaugeMetricFamily("quarry_mempool_transactions", "Transactions that wait to be mined.", state.pool_size)
    yield GaugeMetricFamily("quarry_mempool_bytes", "Bytes of the mempool's entries.", state.pool_bytes)
    left = CounterMetricFamily("quarry_mempool_left", "Transactions that left without a block.", labels=["status"])
    for status in _LEAVING:
        left.add_metric([status], counters.get(f"mempool_{status}", 0))
    yield left


def _mining(state: NodeOverview, counters: Mapping[str, int]) -> Iterator[Metric]:
    yield CounterMetricFamily("quarry_hashes", "Hashes done by all workers.", counters.get("hashes", 0))
    yield CounterMetricFamily(
        "quarry_wasted_hashes",
        "Hashes done after their round or template had ended.",
        counters.get("wasted_hashes", 0),
    )
    yield CounterMetricFamily("quarry_leases", "Leases of miners that are not trusted.", counters.get("leases", 0))
    shares = CounterMetricFamily("quarry_shares", "Shares of such miners, by outcome.", labels=["outcome"])
    shares.add_metric(["credited"], counters.get("shares", 0))
    shares.add_metric(["late"], counters.get("shares_late", 0))
    yield shares
    refused = counters.get("reports_refused", 0)
    yield CounterMetricFamily("quarry_reports_refused", "Reports that were refused for a wrong share.", refused)
    refused = counters.get("proofs_refused", 0)
    yield CounterMetricFamily("quarry_proofs_refused", "What mining workers handed in, and what was false.", refused)
    yield GaugeMetricFamily("quarry_mining_requests", "Mining requests that wait.", state.requests)
    yield GaugeMetricFamily("quarry_round_open", "Whether a round is open.", int(state.round is not None))
    rate = state.figures.rate if state.figures else 0
    yield GaugeMetricFamily("quarry_hash_rate", "Hashes per second of the workers that search the open round.", rate)
    difficulty = state.round.difficulty if state.round else 0
    yield GaugeMetricFamily("quarry_round_difficulty", "Difficulty of the open round.", difficulty)
    rounds = CounterMetricFamily("quarry_rounds", "Rounds, by outcome.", labels=["outcome"])
    rounds.add_metric(["opened"], counters.get("rounds_opened", 0))
    rounds.add_metric(["sealed"], counters.get("blocks_mined", 0))
    rounds.add_metric(["cancelled"], counters.get("rounds_cancelled", 0))
    yield rounds
