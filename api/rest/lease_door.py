"""A WSGI middleware that answers the usual requests of miners, as `api/rpc/dispatch.py` does for wallets.

A thousand miners send more than a thousand requests a second, and Flask takes longer for each than all the rest. What
is not usual, and whoever has to wait for a round, goes on to the views (`api/rest/leases.py`).
"""

import time
from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

from api import errors, leasing
from api.access import Doorkeeper, Served
from api.headers import CONTENT_POLICY, harden
from api.serving.gate import LARGE_BODY, RECEIVED
from api.serving.header_fields import SAFETY
from api.serving.request_metrics import request_seconds
from api.serving.runner import WsgiApp
from shared import wire

_TAKE: Final = "/leases"
_REPORT: Final = "/leases/"
_ROUTES: Final = {True: "/leases", False: "/leases/<lease_id>"}  # as Flask names them
_HEADERS: Final = (
    ("Content-Type", "application/json"),
    *SAFETY,
    ("Content-Security-Policy", CONTENT_POLICY),
)


class LeaseDoor:
    """Answers what it can, and passes on all others."""

    def __init__(self, inner: WsgiApp, what: Served) -> None:
        self._inner = inner
        self._node = what.node
        self._hosts = what.hosts
        # Pages of other sites may read the answers, so caches must not mix them up (api/cors.py).
        self._vary = (("Vary", "Origin"),) if what.doorkeeper.origins else ()
        self._seconds = {taking: request_seconds("POST", route, "200") for taking, route in _ROUTES.items()}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(_TAKE) or not self._is_usual(environ, path):
            return self._inner(environ, start_response)
        began = time.perf_counter()
        body = environ["wsgi.input"].read()
        taking = path == _TAKE
        try:
            answer = self._answer(environ.get("HTTP_AUTHORIZATION"), path, body)
        except Exception as error:
            response = errors.answer_to(error)
            for name, value in self._vary:
                response.headers[name] = value
            request_seconds("POST", _ROUTES[taking], str(response.status_code)).observe(time.perf_counter() - began)
            start_response(response.status, list(harden(response).headers))
            return [response.get_data()]
        if answer is None:  # no round is open
            environ["wsgi.input"] = BytesIO(body)
            return self._inner(environ, start_response)
        start_response("200 OK", [*_HEADERS, *self._vary, ("Content-Length", str(len(answer)))])
        self._seconds[taking].observe(time.perf_counter() - began)
        return [answer]

    def _answer(self, authorization: str | None, path: str, body: bytes) -> bytes | None:
        """The answer to a usual request; None: no round is open. Raises: as the views."""
        node, secret = self._node, leasing.secret_of(authorization)
        if path == _TAKE:
            lease = node.leases.take(*leasing.read_wanted(node, secret, wire.parse(body)))
            return None if lease is None else leasing.lease_json(lease)
        handed = leasing.read_report(secret, path.removeprefix(_REPORT), wire.parse(body))
        return leasing.report_json(node.leases.report(*handed))

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
        )
