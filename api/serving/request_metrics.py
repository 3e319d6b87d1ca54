"""How long requests take, by route: one histogram, which each process of the server keeps in files for `/metrics`."""

import time

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SECONDS = Histogram(
    "quarry_http_request_seconds", "Time to answer, by route.", ["method", "route", "status"], buckets=_BUCKETS
)
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS"})


def request_seconds(method: str, route: str, status: str) -> Histogram:
    """The histogram of one kind of request, for a WSGI application that answers before Flask does."""
    return _SECONDS.labels(method, route, status)


def install(app: Flask) -> None:
    """Measure every request that Flask answers."""

    def begin() -> None:
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        # The rule, not the path: an id in a label would make a series for each id.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in _METHODS else "other"
        began = g.pop("began", None)
        if began is not None:
            _SECONDS.labels(method, route, str(response.status_code)).observe(time.perf_counter() - began)
        return response

    app.before_request(begin)
    app.after_request(end)


def register(registry: CollectorRegistry) -> None:
    """Have `registry` collect the histogram, where the server is a single process."""
    registry.register(_SECONDS)
