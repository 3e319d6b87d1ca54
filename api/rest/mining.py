"""Mining requests and rounds."""

from contextlib import nullcontext

from flask import Blueprint, Response, jsonify, url_for
from flask.typing import ResponseReturnValue

from api.access import budget, current_node, doorkeeper
from api.errors import HttpRefusal, problem
from api.reading import MAX_WAIT, is_id, json_fields, seconds_argument
from api.representations import block_fields, represent_round
from api.serving.budget import Kind
from services.clocks import waiting_words
from services.errors import Busy, NotFound
from services.store.rounds import RequestStatus, RoundState
from shared.hash_rate import parse_hash_rate

blueprint = Blueprint("mining", __name__)

_UNKNOWN_JOB = "No mining request with this id is known here."
_UNKNOWN_ROUND = "No round with this id is known here."
_LIMIT = 'Send {"hash_rate_limit": "2M"}.'


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
        - in: query
          name: wait
          schema: {type: number, default: 10, minimum: 0, maximum: 60}
          description: Seconds to wait.
      responses:
        '200': {description: 'The block: message, index, transactions, proof, previous_hash, hash.', json: Mined}
        '202':
          description: >-
            Not sealed yet: {job}, and Location: /jobs/ID. While no block may be made because the last ones lie too far
            in the future, also message and mining_waits_until (Unix seconds); sent at once if waiting would not help.
          json: Asked
        '401':
        '409':
    post: *mine
    """
    doorkeeper().require_this_machine("mine")
    node = current_node()
    seconds = seconds_argument("wait", node.settings.mine_wait, MAX_WAIT)
    with budget().hold(Kind.WAIT) if seconds else nullcontext():  # first, so that a refused call adds no request
        request_id = node.requests.ask()
        until = node.rounds.waits_until()
        if until is not None and until - node.clock.now() > seconds:
            seconds = 0.0
        answer = node.requests.wait(request_id, seconds)
    if answer.status is RequestStatus.CANCELLED:
        return problem(409, "round_cancelled", "The round was cancelled.")
    if answer.block is None:
        return _not_yet(request_id), 202, {"Location": url_for("mining.job", job_id=request_id)}
    try:
        block = block_fields(node, answer.block)
    except Busy:  # the block is mined; the client can read it later
        return _not_yet(request_id), 202, {"Location": url_for("mining.job", job_id=request_id)}
    names = ("index", "transactions", "proof", "previous_hash")
    return jsonify({"message": "Forged new block.", **{name: block[name] for name in names}, "hash": answer.block})


def _not_yet(request_id: str) -> Response:
    node = current_node()
    until = node.rounds.waits_until()
    if until is None:
        return jsonify(job=request_id)
    return jsonify(job=request_id, message=waiting_words(until, node.clock.now()), mining_waits_until=until)


@blueprint.get("/jobs/<job_id>")
def job(job_id: str) -> ResponseReturnValue:
    """Look at one mining request.
    ---
    get:
      summary: A mining request
      parameters:
        - {in: path, name: job_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{32}$'}}
        - in: query
          name: wait
          schema: {type: number, default: 0, minimum: 0, maximum: 60}
          description: Seconds to wait for it.
      responses:
        '200':
          description: 'id, status (queued, started, finished, failed, cancelled), round and block (hash).'
          json: Job
        '404':
    """
    seconds = seconds_argument("wait", 0.0, MAX_WAIT)
    if not is_id(job_id):
        raise HttpRefusal(404, "unknown_job", _UNKNOWN_JOB)
    try:
        with budget().hold(Kind.WAIT) if seconds else nullcontext():
            found = current_node().requests.wait(job_id, seconds)
    except NotFound:
        raise HttpRefusal(404, "unknown_job", _UNKNOWN_JOB) from None
    return jsonify(id=job_id, status=found.status, round=found.round_id, block=found.block)


@blueprint.delete("/jobs/<job_id>")
def cancel_job(job_id: str) -> ResponseReturnValue:
    """Cancel one mining request.
    ---
    delete:
      summary: Cancel a mining request, and the open round if no other request waits
      description: >-
        A request that has been answered stays as it is. Auto-mining goes on. Open to this machine; from elsewhere it
        needs the admin token.
      parameters:
        - {in: path, name: job_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{32}$'}}
      responses:
        '200': {description: 'The request after that: id, status, round and block (hash).', json: Job}
        '401':
        '404':
    """
    doorkeeper().require_this_machine("jobs")
    if not is_id(job_id):
        raise HttpRefusal(404, "unknown_job", _UNKNOWN_JOB)
    try:
        found = current_node().requests.withdraw(job_id)
    except NotFound:
        raise HttpRefusal(404, "unknown_job", _UNKNOWN_JOB) from None
    return jsonify(id=job_id, status=found.status, round=found.round_id, block=found.block)


@blueprint.delete("/jobs")
def cancel_jobs() -> ResponseReturnValue:
    """Cancel all mining requests.
    ---
    delete:
      summary: Cancel every mining request and the open round (admin)
      admin: true
      description: Auto-mining opens no other round on this tip.
      responses:
        '200': {description: 'cancelled: how many requests; round: the round that was cancelled (id).', json: Withdrawn}
        '401':
    """
    doorkeeper().require_admin("jobs")
    node = current_node()
    before = node.mining.situation().open_round
    cancelled = node.requests.withdraw_all()
    ended = node.mining.round(before) if before else None
    is_cancelled = ended is not None and ended.state is RoundState.CANCELLED
    return jsonify(cancelled=cancelled, round=before if is_cancelled else None)


@blueprint.get("/rounds/<round_id>")
def show_round(round_id: str) -> ResponseReturnValue:
    """Watch one round.
    ---
    get:
      summary: 'A round: hashes done, rate and workers'
      parameters: [{in: path, name: round_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{32}$'}}]
      responses:
        '200':
          description: >-
            id, height, difficulty, hashes, rate, expected_seconds, probability (of searches, the share that ends within
            so many hashes), workers, state (open, sealed, cancelled).
          json: Round
        '404':
    """
    found = current_node().mining.round(round_id) if is_id(round_id) else None
    if found is None:
        raise HttpRefusal(404, "unknown_round", _UNKNOWN_ROUND)
    return jsonify(represent_round(current_node(), found))


@blueprint.delete("/rounds/<round_id>")
def cancel_round(round_id: str) -> ResponseReturnValue:
    """Cancel a round.
    ---
    delete:
      summary: Cancel an open round and the request that it would have answered (admin)
      admin: true
      parameters: [{in: path, name: round_id, required: true, schema: {type: string, pattern: '^[0-9a-f]{32}$'}}]
      responses:
        '200': {description: 'The round after it has ended.', json: Round}
        '401':
        '404':
    """
    doorkeeper().require_admin("jobs")
    if not is_id(round_id) or current_node().mining.round(round_id) is None:
        raise HttpRefusal(404, "unknown_round", _UNKNOWN_ROUND)
    current_node().requests.cancel(round_id)
    ended = current_node().mining.round(round_id)
    return jsonify(None if ended is None else represent_round(current_node(), ended))


@blueprint.get("/mining/limit")
def limit() -> ResponseReturnValue:
    """Show the limit on the hash rate.
    ---
    get:
      summary: How many hashes per second the node's workers may do together
      responses: {'200': {description: 'hash_rate_limit: hashes per second, or null.', json: HashRateLimit}}
    """
    return jsonify(hash_rate_limit=current_node().mining.hash_rate_limit())


@blueprint.post("/mining/limit")
def set_limit() -> ResponseReturnValue:
    """Limit the hash rate of this node.
    ---
    post:
      summary: Limit how many hashes per second the node's workers do together (admin)
      description: >-
        Every worker of the node heeds it within a second, and so does one that starts later. It stays until it is
        lifted, also when the node starts again. A worker whose own limit (QUARRY_HASH_RATE) is lower heeds that one.
      requestBody:
        json: NewHashRateLimit
      responses:
        '200': {description: 'hash_rate_limit: hashes per second.', json: HashRateLimit}
        '401':
    """
    doorkeeper().require_admin("mine")
    wanted = json_fields({"hash_rate_limit"}, _LIMIT)["hash_rate_limit"]
    rate = parse_hash_rate(wanted, field="hash_rate_limit")
    current_node().mining.limit_hash_rate(rate)
    return jsonify(hash_rate_limit=rate)


@blueprint.delete("/mining/limit")
def lift_limit() -> ResponseReturnValue:
    """Let the workers search as fast as they can.
    ---
    delete:
      summary: Lift the limit on the node's hash rate (admin)
      responses:
        '200': {description: 'hash_rate_limit: null.', json: HashRateLimit}
        '401':
    """
    doorkeeper().require_admin("mine")
    current_node().mining.limit_hash_rate(None)
    return jsonify(hash_rate_limit=None)
