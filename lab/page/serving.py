"""Serving pages and controls of the lab to this machine only, from the lab's own process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from api.headers import harden
from api.serving.hosts import is_loopback_name, name_of
from lab.interface import LabError
from shared.errors import InputError
from shared.wire import parse

HOST = "127.0.0.1"
MOST_REQUESTS = 32  # at a time, streams included
MAX_BODY = 64 * 1024


def guarded_app(name: str) -> Flask:
    """An application without routes that refuses other machines and other sites, and answers errors as problems."""
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.after_request(harden)
    app.before_request(_require_our_page)

    @app.errorhandler(LabError)
    def refused(error: LabError) -> ResponseReturnValue:
        return problem(409, str(error))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> ResponseReturnValue:
        return problem(error.code or 500, str(error.description))

    return app


def _require_our_page() -> ResponseReturnValue | None:
    """Refuse other machines and other sites, whatever name they reach us by."""
    if not is_loopback_name(name_of(request.host)):
        return problem(403, f"The lab is at {HOST} only.")
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if (origin is not None and _host_of(origin) != request.host) or site not in ("none", "same-origin"):
        return problem(403, "Another site may not ask the lab.")
    if request.method == "POST" and request.mimetype != "application/json":
        return problem(415, "The body must be JSON.")
    return None


def _host_of(origin: str) -> str:
    """The host and port of an origin; "" if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def json_object() -> dict[str, Any]:
    """The object in the body of the request. Raises `BadRequest`: there is none."""
    try:
        found = parse(request.get_data(), floats=True)
    except InputError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest("The body must be a JSON object.")
    return found


def problem(status: int, detail: str) -> ResponseReturnValue:
    body = json.dumps({"status": status, "detail": detail})
    return Response(body, status, mimetype="application/problem+json")


class _Handler(WSGIRequestHandler):
    """A handler that logs nothing: each look at the page would scroll the lab's own lines away."""

    timeout = 30  # seconds for a request to arrive

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


class _Bounded:
    """An application that does so many requests at a time and refuses more."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._places = threading.BoundedSemaphore(MOST_REQUESTS)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if not self._places.acquire(blocking=False):
            refused = Response("The lab is busy.\n", 503, mimetype="text/plain")
            return refused(environ, start_response)
        response = self._app(environ, start_response)
        return _Closing(response, self._places)


class _Closing:
    """An answer that gives its place back when it ends."""

    def __init__(self, answer: Any, places: threading.BoundedSemaphore) -> None:
        self._answer = answer
        self._places = places

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        try:
            if hasattr(self._answer, "close"):
                self._answer.close()
        finally:
            self._places.release()


@contextmanager
def serving(app: Flask, port: int = 0) -> Iterator[str]:
    """Serve an application while the block runs. Yields its URL.

    Raises:
        LabError: the port is taken.
    """
    try:
        server: BaseWSGIServer = make_server(HOST, port, _Bounded(app), threaded=True, request_handler=_Handler)
    except (OSError, SystemExit):
        raise LabError(f"The port {port} is taken: choose another by --port.") from None
    server.daemon_threads = True  # type: ignore[attr-defined] # of the threading server that was asked for
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="page", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
