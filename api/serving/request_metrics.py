"""How long requests take, by route: one histogram, which each process of the server keeps in files for `/metrics`.

`prometheus_client` reads PROMETHEUS_MULTIPROC_DIR when it is imported, so it is imported when the histogram is made.
"""

import time
from functools import cache
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Histogram

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS"})


@cache
def _seconds() -> "Histogram":
    from prometheus_client import Histogram

    return Histogram(
        "quarry_http_request_seconds", "Time to answer, by route.", ["method", "route", "status"], buckets=_BUCKETS
    )


def request_seconds(method: str, route: str, status: str) -> "Histogram":
    """The histogram of one kind of request, for a WSGI application that answers before Flask does."""
    return _seconds().labels(method, route, status)


def install(app: Flask) -> None:
    """Measure every request that Flask answers. Call it before threads do: the first call makes the histogram."""
    histogram = _seconds()

    def begin() -> None:
        g.began = time.perf_counter()

    def end(response: Response) -> Response:
        # The rule, not the path: an id in a label would make a series for each id.
        route = request.url_rule.rule if request.url_rule else "unknown"
        method = request.method if request.method in _METHODS else "other"
        began = g.pop("began", None)
        if began is not None:
            histogram.labels(method, route, str(response.status_code)).observe(time.perf_counter() - began)
        return response

    app.before_request(begin)
    app.after_request(end)


def register(registry: "CollectorRegistry") -> None:
    """Have `registry` collect the histogram, where the server is a single process."""
    registry.register(_seconds())
