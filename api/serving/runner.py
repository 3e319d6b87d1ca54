"""How granian calls the application: as its own wrapper does (granian/wsgi.py), but each request knows what answers it.

So a request whose thread is held by a body that does not come can be answered by another thread
(api/serving/connections.py).
And the environment of a request does not repeat that of the process, which has secrets in it.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

# Where a request's environment has what answers it.
PROTOCOL = "quarry.protocol"


class _Head:
    """What `start_response` was told."""

    __slots__ = ("headers", "status")

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        self.status, self.headers = int(status[:3]), headers


def wrap(app: WsgiApp, _: dict[str, Any], __: str | None = None) -> Callable[[Any, dict[str, Any]], None]:
    """The callback of granian's workers for a WSGI application."""
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
        head = _Head()
        result = app({**base, **scope, PROTOCOL: protocol}, head)
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
    """What a process of the server runs: granian's own, with our way of calling the application."""
    from granian.server import mp

    # The name under which that function finds it; tests/integration/http/test_server.py notices if it is another one.
    mp._wsgi_call_wrap = wrap  # type: ignore[attr-defined, assignment] # private there
    mp.MPServer._spawn_wsgi_worker(*args, **kwargs)
