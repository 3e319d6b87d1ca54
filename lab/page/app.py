"""The page of a lab that runs, served by the lab's own process to this machine only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request, send_from_directory
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from api.headers import harden
from api.serving.hosts import is_loopback_name, name_of
from lab.interface import LabError
from lab.page.controls import Controls
from lab.page.exercises import EXERCISES, check
from lab.page.exporting import EXPLORER, HERE, templates
from lab.recording import Event
from shared.errors import InputError
from shared.wire import parse

HOST = "127.0.0.1"
MOST_STREAMS = 16
MOST_REQUESTS = 32  # at a time, streams included
MAX_BODY = 64 * 1024
_QUIET = 10.0  # seconds until a silent stream says that it lives
_OUR_STATIC = frozenset(path.name for path in (HERE / "static").iterdir())


class Feed:
    """The events of a lab, for readers that each begin where they like. Safe for several threads."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._texts: list[str] = []
        self._more = threading.Condition()
        self.ended = False

    def add(self, event: Event) -> None:
        with self._more:
            self.events.append(event)
            self._texts.append(json.dumps(event.to_object(), separators=(",", ":")))
            self._more.notify_all()

    def end(self) -> None:
        """Let every reader finish."""
        with self._more:
            self.ended = True
            self._more.notify_all()

    def read(self, first: int) -> Iterator[str]:
        """The events from a number on, as parts of a stream of server-sent events."""
        while not self.ended:
            with self._more:
                if first >= len(self._texts):
                    self._more.wait(_QUIET)
                new = self._texts[first:]
            if new:
                yield "".join(f"id: {first + place}\ndata: {text}\n\n" for place, text in enumerate(new))
                first += len(new)
            else:
                yield ": still here\n\n"


def create_app(
    controls: Controls, feed: Feed, urls: dict[int, str], attack: Callable[[Mapping[str, Any]], Any] | None = None
) -> Flask:
    """The application.

    Args:
        urls: the explorers of the nodes, by number.
        attack: does an attack (`lab/attack/joining.py`) and returns its result; None: there are no attacks.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    page = templates().get_template("page.html")
    streams = threading.BoundedSemaphore(MOST_STREAMS)
    app.after_request(harden)
    app.before_request(_require_our_page)

    @app.get("/")
    def index() -> str:
        return page.render(
            title="The lab",
            eyebrow=f"{len(controls.lab.nodes)} {controls.lab.world} nodes, chain {controls.lab.spec.name}",
            lead="Break the network with the controls below, and watch the tree.",
            footer="Served to this machine only. Ctrl-C in the terminal ends the lab.",
            live=True,
            inlined=None,
            strategies=json.dumps({key: make().name for key, make in controls.strategies.items()}),
            urls=json.dumps(urls),
            exercises=EXERCISES,
        )

    @app.get("/static/<name>")
    def static(name: str) -> ResponseReturnValue:
        folder = HERE / "static" if name in _OUR_STATIC else EXPLORER
        return send_from_directory(folder, name, max_age=0)

    @app.get("/events")
    def events() -> ResponseReturnValue:
        if not streams.acquire(blocking=False):
            return _problem(503, f"{MOST_STREAMS} pages are open already: close one.")
        last = request.headers.get("Last-Event-ID", "")
        first = int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 12 else 0
        response = Response(feed.read(first), mimetype="text/event-stream")
        response.call_on_close(streams.release)
        return response

    @app.post("/control")
    def control() -> ResponseReturnValue:
        controls.act(_json())
        return jsonify({})

    @app.post("/attack")
    def attacked() -> ResponseReturnValue:
        if attack is None:
            return _problem(404, "This lab does no attacks.")
        return jsonify(attack(_json()))

    @app.post("/exercises/<name>")
    def exercise(name: str) -> ResponseReturnValue:
        """Whether an exercise is done: `{"choice": PLACE or null}` gives `{"done", "said"}`."""
        choice = _json().get("choice")
        if choice is not None and type(choice) is not int:
            return _problem(400, "choice is the place of a choice, or null.")
        try:
            done, said = check(name, choice, list(feed.events))
        except KeyError:
            return _problem(404, f"There is no exercise {name[:40]!r}.")
        return jsonify(done=done, said=said)

    @app.errorhandler(LabError)
    def refused(error: LabError) -> ResponseReturnValue:
        return _problem(409, str(error))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> ResponseReturnValue:
        return _problem(error.code or 500, str(error.description))

    return app


def _require_our_page() -> ResponseReturnValue | None:
    """Refuse other machines and other sites, whatever name they reach us by."""
    if not is_loopback_name(name_of(request.host)):
        return _problem(403, f"The lab is at {HOST} only.")
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if (origin is not None and urlsplit(origin).netloc != request.host) or site not in ("none", "same-origin"):
        return _problem(403, "Another site may not ask the lab.")
    if request.method == "POST" and request.mimetype != "application/json":
        return _problem(415, "The body must be JSON.")
    return None


def _json() -> dict[str, Any]:
    """The object in the body."""
    try:
        found = parse(request.get_data(), floats=True)
    except InputError:
        found = None
    if not isinstance(found, dict):
        raise BadRequest("The body must be a JSON object.")
    return found


def _problem(status: int, detail: str) -> ResponseReturnValue:
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
def serving(app: Flask, feed: Feed, port: int = 0) -> Iterator[str]:
    """Serve the page while the block runs. Yields its URL.

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
        feed.end()
        server.shutdown()
        thread.join()
        server.server_close()
