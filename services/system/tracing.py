"""Traces of the walk of a transaction and its block, over processes and nodes, by OpenTelemetry (the extra `traces`).

Off unless QUARRY_TRACES_URL names a collector: then `trace` and `step` cost one comparison. A trace is begun by an HTTP
request, by a transaction that is admitted, or by a round that opens. It goes on with the job that is enqueued meanwhile
(in the job's `meta`), with the workers that search the round (its `round-trace` key), and with the peers that are asked
(the header `traceparent`, https://www.w3.org/TR/trace-context/).
"""

import contextvars
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from services.errors import BadSettings

if TYPE_CHECKING:
    from services.settings.table import Settings

T = TypeVar("T")
R = TypeVar("R")

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f][13579bdf]")  # recorded
# Traces of other machines that a process follows in a second: strangers choose the header.
MOST_FOLLOWED = 20
# Seconds that an export may take: a job waits for it when it ends.
EXPORT_SECONDS = 1.0
_OFF: AbstractContextManager[None] = nullcontext()
# Whether this is within a request or job that is not traced, so that nothing here begins a trace of its own. A trace of
# others that is followed here ends that for its block. So where it is true, no trace goes on, and OpenTelemetry, which
# takes longer to say so, is not asked.
_passed_over: contextvars.ContextVar[bool] = contextvars.ContextVar("passed_over", default=False)


class Tracing:
    """What makes spans, once a process traces.

    Args:
        provider: an OpenTelemetry `TracerProvider`.
        share: of the traces that could begin here, how many do; 0 to 1.
    """

    def __init__(self, provider: Any, share: float) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._otel = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = provider
        self._tracer = provider.get_tracer("quarry")
        self._share = share
        self._lock = Lock()
        self._second, self._followed = 0, 0

    def span(self, name: str, parent: str, attributes: dict[str, Any], *, begins: bool) -> AbstractContextManager[Any]:
        passed_over = _passed_over.get()
        if passed_over and not parent:
            return _OFF
        context = None
        if passed_over or not self._is_inside():
            if parent and _TRACEPARENT.fullmatch(parent) and self._may_follow():
                context = self._propagator.extract({"traceparent": parent})
            elif passed_over or not begins:
                return _OFF
            elif random.random() >= self._share:
                return _passing_over(True)
        manager: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name, context=context, attributes=attributes, record_exception=False
        )
        return _followed(manager) if passed_over else manager

    def current(self) -> str:
        carrier: dict[str, str] = {}
        if not _passed_over.get() and self._is_inside():
            self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def flush(self) -> None:
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))

    def _is_inside(self) -> bool:
        return bool(self._otel.get_current_span().get_span_context().is_valid)

    def _may_follow(self) -> bool:
        """Whether another trace of somebody else's is followed in this second."""
        with self._lock:
            if (second := int(time.monotonic())) != self._second:
                self._second, self._followed = second, 0
            self._followed += 1
            return self._followed <= MOST_FOLLOWED


_tracing: Tracing | None = None


def install(tracing: Tracing | None) -> None:
    """Trace with this from now on; None: no more."""
    global _tracing
    _tracing = tracing


def begin(settings: "Settings", program: str) -> None:
    """Send the traces of this process to the collector of the settings, if they name one, over HTTP (OTLP).

    Raises:
        BadSettings: OpenTelemetry is not installed.
    """
    if not settings.traces_url:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise BadSettings("QUARRY_TRACES_URL: needs OpenTelemetry: pip install 'quarry-ledger[traces]'.") from None
    resource = Resource.create({"service.name": f"quarry-{program}", "service.instance.id": settings.node})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.traces_url, timeout=EXPORT_SECONDS))
    )
    install(Tracing(provider, settings.traces_share))


def trace(name: str, parent: str = "", **attributes: Any) -> AbstractContextManager[Any]:
    """A span for the block: of the trace that goes on here, of that of `parent`, or the first of a new one.

    Args:
        parent: a `traceparent` from elsewhere; whatever is none counts as "".
    """
    return _OFF if _tracing is None else _tracing.span(name, parent, attributes, begins=True)


def step(name: str, parent: str = "", **attributes: Any) -> AbstractContextManager[Any]:
    """As `trace`, but nothing where no trace goes on."""
    return _OFF if _tracing is None else _tracing.span(name, parent, attributes, begins=False)


def current() -> str:
    """The `traceparent` by which others go on with this trace; "" where there is none."""
    return "" if _tracing is None else _tracing.current()


def is_on() -> bool:
    """Whether this process traces."""
    return _tracing is not None


def flush() -> None:
    """Export what has been traced. For a process that ends without further notice, such as the one of a job."""
    if _tracing is not None:
        _tracing.flush()


def carried(work: Callable[[T], R]) -> Callable[[T], R]:
    """`work`, for calls in other threads: what they do belongs to the trace that goes on here."""
    if _tracing is None:
        return work
    here = contextvars.copy_context()
    return lambda item: here.copy().run(work, item)


@contextmanager
def _passing_over(passed_over: bool) -> Iterator[None]:
    token = _passed_over.set(passed_over)
    try:
        yield
    finally:
        _passed_over.reset(token)


@contextmanager
def _followed(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    """A trace that is followed within a request or job that is not traced itself."""
    with _passing_over(False), manager as span:
        yield span
