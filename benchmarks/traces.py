"""What tracing costs, as ratios of processor time to the same work untraced, at the default share and all traced.

First of all processes of a node (`benchmarks/traced_nodes.py`), with spans sent to a collector. Then of one raw
transaction in one process, on one core, where groups of transactions take turns. There, what is traced is encoded as
for a collector and then dropped, after each group: a node makes larger batches, every five seconds. Needs the extra
`traces`.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import traced_nodes
from benchmarks.admission import admit, one_core, request_of, signed_transactions
from benchmarks.ratios import Ratio
from benchmarks.report import Result
from benchmarks.traced_nodes import ALL, CONTROL, OFF, ON
from services.connections.servers import as_store, connect_for_requests
from services.jobs.queues import RqJobs
from services.launch.embedded import EmbeddedValkey
from services.node import build_node
from services.settings.table import load
from services.system import tracing

_GROUP = 200  # transactions that are timed together
_ROOM = {"QUARRY_NONCES_AHEAD": "4096"}  # for all transactions of a sender, none of which is mined


def run(say: Callable[[str], None], quick: bool = False) -> list[Result]:
    """Measure."""
    result = Result("traces")
    try:
        shares = {"off": None, "on": _tracing(load({}).traces_share), "all": _tracing(1.0)}
    except ImportError:
        result.notes.append("not measured: pip install '.[traces]'")
        return [result]
    if sys.platform == "linux":
        groups, cycles = (1, 24) if quick else (6, 40)
        spent = traced_nodes.measure(say, groups, cycles)
        untraced = (spent[OFF], spent[CONTROL])
        on, everything = (Ratio.of(spent[name].over(*untraced)) for name in (ON, ALL))
        result.add("on", on.median, "of that", target=1.05, better="lower", than="a whole node, at the default share")
        control = Ratio.of(spent[CONTROL].over(spent[OFF]))
        result.add("control", control.median, "of that", than="one untraced node to another: how far to trust `on`")
        result.add("all", everything.median, "of that", better="lower", than="a whole node, everything traced")
        for name, ratio in (("on", on), ("all", everything), ("untraced, against the same", control)):
            result.notes.append(f"a node, {name}: {ratio}")
    say("a transaction by turns")
    seconds = _transactions(shares, 9 if quick else 30)
    off = statistics.median(seconds["off"]) / _GROUP * 1e6
    result.add("off_cpu", off, "µs", better="lower", than="a transaction, nothing traced")
    result.add("off_span_cpu", _span_off(), "µs", better="lower", than="a span where nothing is traced")
    for name in ("on", "all"):
        ratio = Ratio.of([on / off for on, off in zip(seconds[name], seconds["off"], strict=True)])
        result.add(f"transaction_{name}", ratio.median, "of that", better="lower", than="a transaction alone")
        result.notes.append(f"a transaction, {name}: {ratio}")
    return [result]


def _transactions(shares: Mapping[str, tracing.Tracing | None], rounds: int) -> dict[str, list[float]]:
    """By what is traced, the processor seconds of each group of transactions."""
    seconds: dict[str, list[float]] = {name: [] for name in shares}
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory)) as valkey:
        settings = load({"QUARRY_REDIS_URL": valkey.url, "QUARRY_SPEC": "dev", "QUARRY_AUTOMINE": "false", **_ROOM})
        with connect_for_requests(valkey.url) as redis, one_core():
            node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
            node.begin()
            raws = iter(signed_transactions(settings.spec.chain_id, len(shares) * (rounds + 1) * _GROUP))
            turns = list(shares.items())
            for _ in range(rounds + 1):
                turns.append(turns.pop(0))  # each begins as often as the others
                for name, how in turns:
                    requests = [request_of(next(raws)) for _ in range(_GROUP)]
                    with _installed(how):
                        began = time.process_time()
                        admit(node, requests)
                        tracing.flush()
                        seconds[name].append(time.process_time() - began)
    return {name: found[1:] for name, found in seconds.items()}  # the first warms up


def _tracing(share: float) -> tracing.Tracing:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> Any:
            encode_spans(spans).SerializeToString()
            return SpanExportResult.SUCCESS

        def shutdown(self) -> None:
            pass

    provider = TracerProvider(ALWAYS_ON)  # as services/system/tracing.py has it
    provider.add_span_processor(BatchSpanProcessor(Dropping()))
    return tracing.Tracing(provider, share)


@contextmanager
def _installed(how: tracing.Tracing | None) -> Iterator[None]:
    tracing.install(how)
    try:
        yield
    finally:
        tracing.install(None)


def _span_off(count: int = 100_000) -> float:
    began = time.process_time()
    for _ in range(count):
        with tracing.trace("nothing"):
            pass
    return (time.process_time() - began) / count * 1e6
