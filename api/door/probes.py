"""`/healthz` and `/readyz` at the door."""

from typing import TYPE_CHECKING

from api.door.requests import JSON, PROBLEM, Received, Refusal
from services.connections.failures import FAILURES
from services.connections.servers import RedisError
from shared.errors import NodeError

if TYPE_CHECKING:
    from api.door.http import HttpConnection

_NOT_READY = Refusal(503, "store_unavailable", "The store does not answer.")
_FULL = Refusal(503, "too_many_waiting", "Too many requests wait; try again.")


def probe(connection: "HttpConnection", request: Received, path: bytes) -> None:
    """Answer a probe. `/readyz` asks the store too."""
    if path == b"/healthz":
        connection.answer(200, JSON, _body(request, b'{"status":"ok"}'), request.keep)
    elif connection.door.pool.submit(_Readiness(connection, request)):
        connection.begin()
    else:
        connection.refuse(_FULL)


class _Readiness:
    """Whether the chain can be read: asked in a thread, answered in the event loop."""

    def __init__(self, connection: "HttpConnection", request: Received) -> None:
        self._connection = connection
        self._request = request
        self._is_ready = False

    def run(self) -> None:
        try:
            self._connection.door.node.chain.tip()
        except RedisError as error:
            FAILURES.note(error)
        except NodeError:  # the chain has not begun
            pass
        else:
            self._is_ready = True

    def finish(self) -> None:
        if self._is_ready:
            self._connection.end(200, JSON, _body(self._request, b'{"status":"ready"}'), self._request.keep)
        else:
            self._connection.end(503, PROBLEM + b"retry-after: 1\r\n", _NOT_READY.problem(), keep=False)


def _body(request: Received, text: bytes) -> bytes:
    return text if request.method == b"GET" else b""
