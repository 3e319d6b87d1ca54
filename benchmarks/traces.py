"""What tracing costs: processor time for one raw transaction with traces off, at the default share, and all traced.

The three are measured by turns in one process, on one core, by groups of transactions; the medians count. What is
traced is encoded as for a collector and then dropped. Needs the extra `traces`.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.admission import admit, one_core, request_of, signed_transactions
from benchmarks.report import Result
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
    rounds = 9 if quick else 30
    say("traces by turns")
    with TemporaryDirectory(prefix="quarry-bench-") as directory, EmbeddedValkey(Path(directory)) as valkey:
        settings = load({"QUARRY_REDIS_URL": valkey.url, "QUARRY_SPEC": "dev", "QUARRY_AUTOMINE": "false", **_ROOM})
        with connect_for_requests(valkey.url) as redis, one_core():
            node = build_node(settings, store=as_store(redis), queue=RqJobs(redis))
            node.begin()
            raws = iter(signed_transactions(settings.spec.chain_id, len(shares) * (rounds + 1) * _GROUP))
            seconds: dict[str, list[float]] = {name: [] for name in shares}
            turns = list(shares.items())
            for _ in range(rounds + 1):
                turns.append(turns.pop(0))  # each begins as often as the others
                for name, how in turns:
                    requests = [request_of(next(raws)) for _ in range(_GROUP)]
                    with _installed(how):
                        began = time.process_time()
                        admit(node, requests)
                        seconds[name].append(time.process_time() - began)
    each = {name: statistics.median(found[1:]) / _GROUP * 1e6 for name, found in seconds.items()}
    ratios = {
        name: statistics.median(on / off for on, off in zip(seconds[name][1:], seconds["off"][1:], strict=True))
        for name in ("on", "all")
    }
    result.add("off_cpu", each["off"], "µs", better="lower", than="a transaction, nothing traced")
    result.add("off_span_cpu", _span_off(), "µs", better="lower", than="a span where nothing is traced")
    result.add("on", ratios["on"], "of that", target=1.05, better="lower", than="at the default share")
    result.add("all", ratios["all"], "of that", better="lower", than="every transaction traced")
    return [result]


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
        tracing.flush()
    finally:
        tracing.install(None)


def _span_off(count: int = 100_000) -> float:
    began = time.process_time()
    for _ in range(count):
        with tracing.trace("nothing"):
            pass
    return (time.process_time() - began) / count * 1e6
