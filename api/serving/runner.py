"""How granian calls the application: in place of granian's own wrapper (granian/wsgi.py), for two reasons.

Here each request's environment has granian's protocol object, by which another thread can answer the request while its
own thread waits for the body (api/serving/connections.py). And it lacks the environment of the process, which may
have secrets in it.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

# Key of granian's protocol object in a request's environment.
PROTOCOL = "quarry.protocol"
# The result of an application that has the protocol object of the request, and answers by it from another thread.
ANSWERED_LATER: list[bytes] = []


class Head:
    """The arguments of `start_response`."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        self.status, self.headers = int(status[:3]), headers


def wrap(app: WsgiApp, _: dict[str, Any], __: str | None = None) -> Callable[[Any, dict[str, Any]], None]:
    """The callback with which granian's workers call a WSGI application."""
    from granian.wsgi import ResponseIterWrap

    base = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SCRIPT_NAME": "",
        "SERVER_SOFTWARE": "Granian",
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": True,
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.version": (1, 0),
    }

    def run(protocol: Any, scope: dict[str, Any]) -> None:
        head = Head()
        result = app({**base, **scope, PROTOCOL: protocol}, head)
        if result is ANSWERED_LATER:
            return
        if isinstance(result, list):
            protocol.response_bytes(head.status, head.headers, b"".join(result))
        else:
            protocol.response_iter(
                head.status,
                head.headers,
                ResponseIterWrap(result),  # type: ignore[no-untyped-call] # untyped there
            )

    return run


def serve_process(*args: Any, **kwargs: Any) -> None:
    """Run one process of the server: granian's own function, with `wrap` as its callback."""
    from granian.server import mp

    # A private name of granian. A test of the real server fails if it changes.
    mp._wsgi_call_wrap = wrap  # type: ignore[attr-defined, assignment] # private there
    mp.MPServer._spawn_wsgi_worker(*args, **kwargs)
