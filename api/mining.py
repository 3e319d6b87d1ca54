"""Asking for blocks, and watching the search."""

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from api.access import doorkeeper, node
from api.errors import Refusal, problem
from api.reading import is_hash, seconds_argument
from api.views import round_view
from services.errors import NotFound

blueprint = Blueprint("mining", __name__)

# Waiting holds a thread of the server.
MAX_WAIT = 60.0
_UNKNOWN_JOB = "No mining request with this id is known here."


@blueprint.route("/mine", methods=["GET", "POST"])
def mine() -> ResponseReturnValue:
    """Ask for one block, and wait for it.
    ---
    get: &mine
      summary: Mine one block
      description: >-
        Adds one mining request. Each block that this node seals answers the oldest request. Open to this machine;
        from elsewhere it needs the admin token.
      parameters:
        - {in: query, name: wait, schema: {type: number, default: 10, maximum: 60}, description: Seconds to wait.}
      responses:
        '200': {description: 'The block: message, index, transactions, proof, previous_hash, hash.'}
        '202': {description: 'Not sealed yet: {job}, and Location: /jobs/ID.'}
        '401': {$ref: '#/components/responses/Problem'}
        '429': {$ref: '#/components/responses/Problem'}
        '503': {$ref: '#/components/responses/Problem'}
    post: *mine
    """
    if request.method == "HEAD":  # Flask adds it to every GET, but only a look is meant
        raise MethodNotAllowed(["GET", "POST", "OPTIONS"])
    doorkeeper().require_miner()
    here = node()
    seconds = seconds_argument("wait", here.settings.mine_wait, MAX_WAIT)
    request_id = here.rounds.ask()
    answer = here.rounds.wait(request_id, seconds)
    if answer["status"] == "cancelled":
        return problem(409, "round_cancelled", "The round was cancelled.")
    if answer["status"] != "finished":
        return jsonify(job=request_id), 202, {"Location": url_for("mining.job", job_id=request_id)}
    block = here.chain.block_object(answer["block"])
    names = ("index", "transactions", "proof", "previous_hash")
    return jsonify({"message": "Forged new block.", **{name: block[name] for name in names}, "hash": answer["block"]})


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> ResponseReturnValue:
    """Look at one mining request.
    ---
    get:
      summary: A mining request
      parameters:
        - {in: path, name: job_id, required: true, schema: {type: string}}
        - {in: query, name: wait, schema: {type: number, default: 0, maximum: 60}, description: Seconds to wait for it.}
      responses:
        '200': {description: 'id, status (queued, started, finished, failed, cancelled), round and block (hash).'}
        '404': {$ref: '#/components/responses/Problem'}
    """
    seconds = seconds_argument("wait", 0.0, MAX_WAIT)
    if not _is_id(job_id):
        raise Refusal(404, "unknown_job", _UNKNOWN_JOB)
    try:
        found = node().rounds.wait(job_id, seconds)
    except NotFound:
        raise Refusal(404, "unknown_job", _UNKNOWN_JOB) from None
    return jsonify(id=job_id, status=found["status"], round=found["round"] or None, block=found["block"] or None)


@blueprint.get("/rounds/<round_id>")
def show_round(round_id: str) -> ResponseReturnValue:
    """Watch one round.
    ---
    get:
      summary: 'A round: hashes done, rate, and its workers'
      parameters: [{in: path, name: round_id, required: true, schema: {type: string}}]
      responses:
        '200': {description: 'id, height, difficulty, hashes, rate, workers, state (open, sealed, cancelled).'}
        '404': {$ref: '#/components/responses/Problem'}
    """
    view = round_view(node(), round_id) if _is_id(round_id) else None
    if view is None:
        raise Refusal(404, "unknown_round", "No round with this id is known here.")
    return jsonify(view)


@blueprint.delete("/rounds/<round_id>")
def cancel_round(round_id: str) -> ResponseReturnValue:
    """Cancel a round.
    ---
    delete:
      summary: Cancel an open round and the request that it would have answered (admin)
      parameters: [{in: path, name: round_id, required: true, schema: {type: string}}]
      responses:
        '200': {description: The round, which has ended.}
        '401': {$ref: '#/components/responses/Problem'}
        '404': {$ref: '#/components/responses/Problem'}
    """
    doorkeeper().require_admin()
    here = node()
    if not _is_id(round_id) or here.mining.round(round_id) is None:
        raise Refusal(404, "unknown_round", "No round with this id is known here.")
    here.rounds.cancel(round_id)
    return jsonify(round_view(here, round_id))


def _is_id(text: str) -> bool:
    """Ids of requests and rounds are 32 hex digits."""
    return len(text) == 32 and is_hash(text * 2)
