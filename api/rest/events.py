"""Server-sent events: what happens on the node, as it happens."""

import queue
from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue

from api.access import budget
from api.serving.budget import Kind
from services.store.news import News, as_text

blueprint = Blueprint("stream", __name__)

# Proxies and browsers take a silent connection for a dead one; a comment keeps it alive, and tells us if it is.
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
        {mempool, requests, round} twice a second at most while something changes. Streams are capped: 429 means poll
        /status instead.
      responses:
        '200': {description: Until either side ends it., text: text/event-stream}
    """
    if request.method == "HEAD":  # has no body that would end, and thereby give its place back
        return Response(mimetype=_MEDIA_TYPE)
    news: News = current_app.extensions["quarry.news"]
    listening = ExitStack()
    listening.enter_context(budget().hold(Kind.STREAM))  # here, so that a refusal is an answer and not a broken stream
    listener = listening.enter_context(news.listen())

    def stream() -> Iterator[str]:
        yield "retry: 2000\n\n"
        while True:
            try:
                yield as_text(listener.get(timeout=_HEARTBEAT_SECONDS))
            except queue.Empty:
                yield ": still here\n\n"

    response = Response(stream(), mimetype=_MEDIA_TYPE)
    # Not by `finally` in the generator: one that was never begun, since its reader had gone, would not come to it.
    response.call_on_close(listening.close)
    response.headers["X-Accel-Buffering"] = "no"
    return response
