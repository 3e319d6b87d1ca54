"""Server-sent events: what happens on the node, as it happens."""

import queue
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from api.access import budget, served
from api.serving.budget import Kind
from services.store.news import as_text

blueprint = Blueprint("stream", __name__)

# Proxies and browsers close a silent connection. A comment prevents that, and shows the node whether it still works.
_HEARTBEAT_SECONDS = 10.0
_MEDIA_TYPE = "text/event-stream"


@blueprint.get("/events")
def events() -> ResponseReturnValue:
    """Stream what happens.
    ---
    get:
      summary: Server-sent events
      description: >-
        block {height, hash}, round {id, height}, reorganisation {fork, height, hash}, cancelled {id}, and state
        {mempool, requests, round}, at most twice a second while something changes. The number of streams is limited;
        after 429, poll /status instead.
      responses:
        '200': {description: A stream that lasts until either side ends it., text: text/event-stream}
    """
    if request.method == "HEAD":  # an answer without a body must not take a place: only the end of a body gives it back
        return Response(mimetype=_MEDIA_TYPE)
    listening = ExitStack()
    listening.enter_context(budget().hold(Kind.STREAM))  # before the answer begins, so it can still be a refusal
    listener = listening.enter_context(served().news.listen())

    def stream() -> Iterator[str]:
        yield "retry: 2000\n\n"
        while True:
            try:
                yield as_text(listener.get(timeout=_HEARTBEAT_SECONDS))
            except queue.Empty:
                yield ": still here\n\n"

    response = Response(stream(), mimetype=_MEDIA_TYPE)
    # Not in a `finally` of the generator, which does not run if the reader left before the generator started.
    response.call_on_close(listening.close)
    response.headers["X-Accel-Buffering"] = "no"
    return response
