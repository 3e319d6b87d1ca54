"""A WSGI middleware that answers the usual requests of miners, as `api/rpc/dispatch.py` does for wallets.

A thousand miners send more than a thousand requests a second, and Flask takes longer for each than all the rest. What
is not usual, and whoever has to wait for a round, goes on to the views (`api/rest/leases.py`).
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Final

from api import errors, leasing
from api.access import Doorkeeper, Served
from api.headers import CONTENT_POLICY
from api.rest.lease_batches import ThreadBatches
from api.serving.gate import LARGE_BODY, RECEIVED
from api.serving.header_fields import SAFETY
from api.serving.request_metrics import request_seconds
from api.serving.runner import ANSWERED_LATER, PROTOCOL, Head, WsgiApp
from services.mining.leases import Asked, Handed, Reported
from services.store.leases import Lease
from services.system import tracing
from shared import wire
from shared.errors import NodeError

_TAKE: Final = "/leases"
_REPORT: Final = "/leases/"
_ROUTES: Final = {True: "/leases", False: "/leases/<lease_id>"}  # as Flask names them
_HEADERS: Final = (
    ("Content-Type", "application/json"),
    *SAFETY,
    ("Content-Security-Policy", CONTENT_POLICY),
)
_Answer = tuple[int, list[tuple[str, str]], bytes]  # status, header fields, body


class LeaseDoor:
    """Answers what it can, and passes on all others."""

    def __init__(self, inner: WsgiApp, what: Served) -> None:
        self._inner = inner
        self._node = what.node
        self._batches = ThreadBatches(what.node.leases)
        # For requests that need more than one round trip to the store; each of its threads begins when it is needed.
        self._threads = ThreadPoolExecutor(what.node.settings.api_threads, "lease")
        self._hosts = what.hosts
        # Pages of other sites may read the answers, so caches must not mix them up (api/cors.py).
        self._fields = [*_HEADERS, *([("Vary", "Origin")] if what.doorkeeper.origins else [])]
        self._seconds = {taking: request_seconds("POST", route, "200") for taking, route in _ROUTES.items()}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(_TAKE) or not self._is_usual(environ, path):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = BytesIO(body)
        try:
            asked = self._read(environ.get("HTTP_AUTHORIZATION"), path, body)
        except NodeError:
            return self._inner(environ, start_response)  # the view refuses it in the same words
        protocol = environ[PROTOCOL]

        def answer(found: Lease | Reported | Exception | None) -> None:
            """Send the answer, in whatever thread."""
            if found is None:
                self._threads.submit(self._view, environ, protocol)
            else:
                protocol.response_bytes(*self._made(found, isinstance(asked, Asked), began))

        if not self._batches.add(asked, answer):
            return self._inner(environ, start_response)
        start_response("200 OK", [])
        return ANSWERED_LATER

    def _read(self, authorization: str | None, path: str, body: bytes) -> Asked | Handed:
        """What a usual request says. Raises: as the views."""
        secret = leasing.secret_of(authorization)
        if path == _TAKE:
            return leasing.read_wanted(self._node, secret, wire.parse(body))
        return leasing.read_report(secret, path.removeprefix(_REPORT), wire.parse(body))

    def _made(self, found: Lease | Reported | Exception, taking: bool, began: float) -> _Answer:
        if isinstance(found, Exception):
            return self._refusal(found, taking, began)
        body = leasing.lease_json(found) if isinstance(found, Lease) else leasing.report_json(found)
        self._seconds[taking].observe(time.perf_counter() - began)
        return 200, self._fields, body

    def _refusal(self, error: Exception, taking: bool, began: float) -> _Answer:
        response = errors.answer_to(error)
        for name, value in self._fields[1:]:  # all but the type
            response.headers.setdefault(name, value)
        status = response.status_code
        request_seconds("POST", _ROUTES[taking], str(status)).observe(time.perf_counter() - began)
        return status, list(response.headers), response.get_data()

    def _view(self, environ: dict[str, Any], protocol: Any) -> None:
        """Have the view answer, in a thread for it."""
        head = Head()
        try:
            body = b"".join(self._inner(environ, head))
            protocol.response_bytes(head.status, head.headers, body)
        except Exception as error:  # a bug: views turn their errors into answers
            protocol.response_bytes(*self._refusal(error, True, time.perf_counter()))

    def _is_usual(self, environ: dict[str, Any], path: str) -> bool:
        return (
            environ.get("REQUEST_METHOD") == "POST"
            and (path == _TAKE or (path.startswith(_REPORT) and leasing.is_lease_id(path.removeprefix(_REPORT))))
            and leasing.is_usual_wait(environ.get("QUERY_STRING", ""))
            and RECEIVED in environ
            and LARGE_BODY not in environ
            and environ.get("HTTP_HOST") in self._hosts
            and environ.get("CONTENT_TYPE") == "application/json"
            and "HTTP_CONTENT_ENCODING" not in environ
            and Doorkeeper.says_nothing(environ)
            and PROTOCOL in environ
            and not tracing.goes_on()  # a trace ends with the thread's own work
        )
