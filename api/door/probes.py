"""`/healthz` and `/readyz` at the door."""

from typing import TYPE_CHECKING

from api.door.job import Request
from api.door.requests import JSON, Received, Refusal

if TYPE_CHECKING:
    from api.door.http import HttpConnection

_READY = b'{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}'  # what /readyz asks


def probe(connection: "HttpConnection", request: Received, path: bytes) -> None:
    """Answer a probe. `/readyz` asks the store too."""
    with_body = request.method == b"GET"

    def answer(state: bytes) -> None:
        connection.answer(200, JSON, state if with_body else b"", request.keep)

    def asked(done: Request) -> None:
        if b'"result"' in done.answer or not connection.door.node.rules.has_accounts:
            answer(b'{"status":"ready"}')
        else:
            connection.refuse(Refusal(503, "store_unavailable", "The store does not answer."))

    if path == b"/healthz":
        answer(b'{"status":"ok"}')
    else:
        connection.ask(_READY, False, asked, request.keep)
