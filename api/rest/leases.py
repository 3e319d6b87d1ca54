"""Leases for miners that are not trusted: the HTTP door to the claims of the node's own workers."""

import queue
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

from flask import Blueprint, Flask, Response, jsonify, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from api import leasing
from api.access import budget, current_node, learn_host, served
from api.reading import MAX_WAIT, json_body, seconds_argument
from api.rest.lease_door import LeaseDoor
from api.serving.budget import Kind
from services.errors import Busy
from services.mining.leases import Asked
from services.store.leases import Lease

blueprint = Blueprint("leases", __name__)

# A waiting miner asks again this often even without news: auto-mining may have rested.
_LOOK_SECONDS = 1.0
# Proxies and browsers close a silent connection.
_HEARTBEAT_SECONDS = 10.0
_MEDIA_TYPE = "text/event-stream"


@blueprint.post("/leases")
def take() -> ResponseReturnValue:
    """Lease proofs of the open round.
    ---
    post:
      summary: Lease proofs to search (needs a voucher)
      voucher: true
      description: >-
        A lease is as long as the miner says it is fast, for about 1.5 s, and at most 2^36 proofs. Search the proofs
        from start (included) to stop (excluded): SHA-256 of the seal and the decimal proof, times share_difficulty,
        must be below 2^256. `?wait=` waits for a round; where too many wait already, the answer is 204 at once.
      parameters:
        - in: query
          name: wait
          schema: {type: number, default: 0, minimum: 0, maximum: 60}
          description: Seconds to wait for a round.
      requestBody:
        json: LeaseWanted
      responses:
        '200':
          description: >-
            lease (its id), round, height, tip, seal (64 characters), difficulty, share_difficulty, start, stop, expires
            (Unix seconds).
          json: Lease
        '204': {description: No round is open; ask again after Retry-After.}
        '401':
    """
    learn_host()
    secret = leasing.secret_of(request.headers.get("Authorization"))
    seconds = seconds_argument("wait", 0.0, MAX_WAIT)
    asked = leasing.read_wanted(current_node(), secret, json_body())
    lease = current_node().leases.take(*asked)
    if lease is None and seconds:
        lease = _wait(asked, seconds)
    if lease is None:
        return Response(status=204, headers={"Retry-After": str(leasing.RETRY_SECONDS)})
    return jsonify(leasing.represent_lease(lease))


def _wait(asked: Asked, seconds: float) -> Lease | None:
    """A lease once a round opens; None after `seconds`, or at once where too many wait."""
    until = time.monotonic() + seconds
    with ExitStack() as held:
        try:
            held.enter_context(budget().hold(Kind.WAIT))
        except Busy:
            return None
        listener = held.enter_context(served().news.listen())
        while True:
            lease = current_node().leases.take(*asked)
            left = until - time.monotonic()
            if lease is not None or left <= 0:
                return lease
            look = time.monotonic() + min(left, _LOOK_SECONDS)
            while (left := look - time.monotonic()) > 0:
                try:
                    if listener.get(timeout=left).type == "round":
                        break
                except queue.Empty:
                    break


@blueprint.post("/leases/<lease_id>")
def report(lease_id: str) -> ResponseReturnValue:
    """Hand in shares.
    ---
    post:
      summary: Hand in the shares of a lease (needs a voucher)
      voucher: true
      description: >-
        Shares are proofs that meet the lease's share_difficulty. One that meets the full difficulty, for any template
        of the round on this tip, makes the block. A wrong share refuses the whole request. A lease can be reported to
        again until it expires; hashes are those since the last report.
      parameters: [{in: path, name: lease_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{32}$'}}]
      requestBody:
        json: LeaseReport
      responses:
        '200':
          description: >-
            accepted and rejected (shares; rejected ones came too late), credited (hashes), sealed (hash of the block
            that was made, or null), stale (whether the lease is of no use any more).
          json: LeaseReported
        '401':
        '404':
    """
    learn_host()
    secret = leasing.secret_of(request.headers.get("Authorization"))
    handed = leasing.read_report(secret, lease_id, json_body())
    return jsonify(leasing.represent_report(current_node().leases.report(*handed)))


@blueprint.get("/leases/news")
def news() -> ResponseReturnValue:
    """Stream news of the tip.
    ---
    get:
      summary: Server-sent news of a new tip
      description: >-
        tip {tip, height}: at once, and for each new tip. Leases of an earlier tip are of no use any more. The number of
        streams is limited; `quarry rpc` serves the same path for thousands.
      responses:
        '200': {description: A stream that lasts until either side ends it., text: text/event-stream}
    """
    if request.method == "HEAD":  # an answer without a body must not take a place: only the end of a body gives it back
        return Response(mimetype=_MEDIA_TYPE)
    with ExitStack() as held:  # given back if the store does not answer
        held.enter_context(budget().hold(Kind.STREAM))
        listener = held.enter_context(served().news.listen())
        tip = current_node().chain.tip()
        listening = held.pop_all()

    def stream() -> Iterator[str]:
        text = leasing.tip_event(tip.hash, tip.height)
        while True:
            yield text
            text, due = "", time.monotonic() + _HEARTBEAT_SECONDS
            while not text:  # most messages are not about the tip
                try:
                    message = listener.get(timeout=max(0.0, due - time.monotonic()))
                except queue.Empty:
                    text = ": still here\n\n"
                else:
                    if message.type in ("block", "reorganisation"):
                        text = leasing.tip_event(message.data["hash"], message.data["height"])

    response = Response(stream(), mimetype=_MEDIA_TYPE)
    # Not in a `finally` of the generator, which does not run if the reader left before the generator started.
    response.call_on_close(listening.close)
    response.headers["X-Accel-Buffering"] = "no"
    return response


@blueprint.record_once
def _open_door(state: BlueprintSetupState) -> None:
    app = cast(Flask, state.app)
    app.wsgi_app = LeaseDoor(app.wsgi_app, served(app))  # type: ignore[method-assign] # Flask's documented way to wrap an application
