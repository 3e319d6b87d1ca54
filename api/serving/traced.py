"""Requests as spans, while the process traces (services/system/tracing.py)."""

from collections.abc import Iterable
from typing import Any

from api.serving.runner import WsgiApp
from services.system import tracing

# What is asked all the time and leads to nothing.
_UNTRACED = ("/metrics", "/readyz", "/healthz", "/events", "/static/", "/rq")


class Traced:
    """A WSGI middleware: each request is a span, of the trace that its `traceparent` names or of a new one.

    The span ends when the answer is known; a streamed body comes after it.
    """

    def __init__(self, inner: WsgiApp) -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(_UNTRACED):
            return self._inner(environ, start_response)
        method = environ.get("REQUEST_METHOD", "")
        with tracing.trace(f"HTTP {method}", environ.get("HTTP_TRACEPARENT", ""), path=path[:256]):
            return self._inner(environ, start_response)
