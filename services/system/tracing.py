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
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
# Whether a trace goes on here. False: this is within a request or job that is not traced, so that nothing here begins a
# trace of its own; a trace of others that is followed here ends that for its block. None: neither, so one may begin.
# OpenTelemetry knows the first as well. It takes longer to say so, and most requests are not traced.
_goes_on: contextvars.ContextVar[bool | None] = contextvars.ContextVar("goes_on", default=None)


class Tracing:
    """What makes spans, once a process traces.

    Args:
        provider: an OpenTelemetry `TracerProvider`.
        share: of the traces that could begin here, how many do; 0 to 1.
    """

    def __init__(self, provider: Any, share: float) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._propagator = TraceContextTextMapPropagator()
        self._provider = provider
        self._tracer = provider.get_tracer("quarry")
        self._share = share
        self._lock = Lock()
        self._second, self._followed = 0, 0

    def span(self, name: str, parent: str, attributes: dict[str, Any], *, begins: bool) -> AbstractContextManager[Any]:
        goes_on, context = _goes_on.get(), None
        if not goes_on:
            if parent and _TRACEPARENT.fullmatch(parent) and self._may_follow():
                context = self._propagator.extract({"traceparent": parent})
            elif goes_on is False or not begins:
                return _OFF
            elif random.random() >= self._share:
                return _PassedOver()
        manager: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name, context=context, attributes=attributes, record_exception=False
        )
        return manager if goes_on else _First(manager)

    def current(self) -> str:
        carrier: dict[str, str] = {}
        if _goes_on.get():
            self._propagator.inject(carrier)
        return carrier.get("traceparent", "")

    def flush(self) -> None:
        self._provider.force_flush(int(EXPORT_SECONDS * 1000))

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
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
    except ImportError:
        raise BadSettings("QUARRY_TRACES_URL: needs OpenTelemetry: pip install 'quarry-ledger[traces]'.") from None
    resource = Resource.create({"service.name": f"quarry-{program}", "service.instance.id": settings.node})
    provider = TracerProvider(ALWAYS_ON, resource)  # what is traced is decided here, by `Tracing.span`
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


def goes_on() -> bool:
    """Whether a trace goes on here."""
    return _tracing is not None and _goes_on.get() is True


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


class _PassedOver:
    """A request or job that is not traced. As most are, this is no generator, which would take twice as long."""

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = _goes_on.set(False)

    def __exit__(self, *_: object) -> None:
        _goes_on.reset(self._before)


class _First:
    """The first span that this process makes of a trace; those within it belong to the trace."""

    __slots__ = ("_before", "_span")

    def __init__(self, span: AbstractContextManager[Any]) -> None:
        self._span = span

    def __enter__(self) -> Any:
        self._before = _goes_on.set(True)
        return self._span.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        _goes_on.reset(self._before)
        return self._span.__exit__(*raised)
