"""The page of a lab that runs, served by the lab's own process to this machine only."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Flask, Response, jsonify, request, send_from_directory
from flask.typing import ResponseReturnValue

from lab.page.controls import Controls
from lab.page.exercises import EXERCISES, check
from lab.page.exporting import EXPLORER, HERE, templates
from lab.page.serving import guarded_app, json_object, problem, serving
from lab.recording import Event

MOST_STREAMS = 16
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
    app = guarded_app(__name__)
    page = templates().get_template("page.html")
    streams = threading.BoundedSemaphore(MOST_STREAMS)

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
            return problem(503, f"{MOST_STREAMS} pages are open already: close one.")
        last = request.headers.get("Last-Event-ID", "")
        first = int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 12 else 0
        response = Response(feed.read(first), mimetype="text/event-stream")
        response.call_on_close(streams.release)
        return response

    @app.post("/control")
    def control() -> ResponseReturnValue:
        controls.act(json_object())
        return jsonify({})

    @app.post("/attack")
    def attacked() -> ResponseReturnValue:
        if attack is None:
            return problem(404, "This lab does no attacks.")
        return jsonify(attack(json_object()))

    @app.post("/exercises/<name>")
    def exercise(name: str) -> ResponseReturnValue:
        """Whether an exercise is done: `{"choice": PLACE or null}` gives `{"done", "said"}`."""
        choice = json_object().get("choice")
        if choice is not None and type(choice) is not int:
            return problem(400, "choice is the place of a choice, or null.")
        if name not in {each.name for each in EXERCISES}:
            return problem(404, f"There is no exercise {name[:40]!r}.")
        done, said = check(name, choice, list(feed.events))
        return jsonify(done=done, said=said)

    return app


@contextmanager
def serving_page(app: Flask, feed: Feed, port: int = 0) -> Iterator[str]:
    """Serve the page while the block runs, and let its readers finish at the end. Yields its URL.

    Raises:
        LabError: the port is taken.
    """
    with serving(app, port) as url:
        try:
            yield url
        finally:
            feed.end()
