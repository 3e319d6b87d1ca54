"""Peers: their list, their announcements, and agreement with them on a chain."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import budget, current_node, doorkeeper
from api.errors import HttpRefusal, problem
from api.reading import MAX_PAGE, MAX_WAIT, argument, json_body, number_argument, seconds_argument
from api.representations import first_blocks
from api.serving.budget import Kind, reserve
from services.errors import NoSuchHost, PeerFailed, PeerLied
from services.peers.client import NoSuchAnswer, PeerClaim
from services.peers.urls import check_address, normal_url
from shared.errors import InputError, NodeError, ShapeError
from shared.hashing import is_hash

blueprint = Blueprint("peers", __name__)

_SHOWN_BLOCKS = 100
_SHOWN_BYTES = 2**20
_MAX_LOCATOR = 64
_HEADER_BYTES = 3_000  # of memory for each header while an answer is made
_MAX_NODES = 64


@blueprint.get("/nodes")
def index() -> ResponseReturnValue:
    """List peers.
    ---
    get:
      summary: Peers, their last claims, and their states
      responses:
        '200':
          description: 'nodes: url, state, height, tip, chainwork, reason. Candidates await approval.'
          json: Peers
    """
    return jsonify(nodes=[_peer(item) for item in current_node().peers.all()])


@blueprint.post("/nodes/register")
@blueprint.post("/miner/register")
def register() -> ResponseReturnValue:
    """Register peers.
    ---
    post:
      summary: Register peers (needs the admin token, except under the tutorial's rules)
      description: >-
        Each peer is asked for its genesis block first. A peer on another chain is refused, and so is an address at
        which another program answers, or whose name does not exist. A peer that does not answer is registered, and
        asked again later. This node itself is left out; if only this node is named, that is refused.
      requestBody:
        json: Nodes
      responses:
        '201': {description: 'message, all_nodes, total_nodes (URLs).', json: Registered}
        '401':
    """
    node = current_node()
    admin = doorkeeper().is_admin("peers")
    if not node.rules.open_registration:
        doorkeeper().require_admin("peers")
    elif node.settings.loopback:  # a peer may be on this machine, which clients behind a proxy must not reach
        doorkeeper().require_this_machine("peers")
    given = dict.fromkeys(normal_url(item) for item in _nodes(json_body()))
    urls = [url for url in given if url != node.settings.public_url]  # tutorial readers register all nodes at each
    for url in urls:
        check_address(url, private=node.settings.reaches_private_peers)
    if not admin:  # only the admin can end a pause, or make the node ask a known peer
        known = {peer.url for peer in node.peers.approved()}
        urls = [url for url in urls if url not in known]
    node.peers.require_room(urls)
    with budget().hold(Kind.WAIT):
        answers = node.resolver.handshakes(urls)
    own = node.instance()
    others = []
    for url, answer in zip(urls, answers, strict=True):
        _require_node(url, answer)
        if isinstance(answer, NodeError) or not own or answer.instance != own:
            others.append(url)
    if not others and admin and not node.rules.open_registration:
        raise InputError("bad_peer_url", f"{next(iter(given))} is this node itself: name another node.", field="nodes")
    node.peers.add(*others)
    all_nodes = [peer.url for peer in node.peers.approved()]
    return jsonify(message="New nodes have been added.", all_nodes=all_nodes, total_nodes=all_nodes), 201


@blueprint.delete("/nodes")
def remove() -> ResponseReturnValue:
    """Forget peers.
    ---
    delete:
      summary: Forget peers (needs the admin token)
      admin: true
      requestBody:
        json: Nodes
      responses:
        '200': {description: 'removed (how many), and the remaining nodes.', json: Peers}
        '401':
    """
    doorkeeper().require_admin("peers")
    node = current_node()
    removed = sum(node.peers.remove(normal_url(item)) for item in _nodes(json_body()))
    return jsonify(removed=removed, nodes=[_peer(item) for item in node.peers.all()])


@blueprint.route("/nodes/resolve", methods=["GET", "POST"])
@blueprint.route("/miner/nodes/resolve", methods=["GET", "POST"])
def resolve() -> ResponseReturnValue:
    """Agree with the peers now.
    ---
    get: &resolve
      summary: Adopt the best valid chain among the peers
      description: Requests that arrive at the same time share one run.
      parameters:
        - in: query
          name: wait
          schema: {type: number, default: 30, minimum: 0, maximum: 60}
          description: Seconds to wait.
      responses:
        '200':
          description: >-
            message, and chain or new_chain: its first 100 blocks at most, of those that were not pruned; `more` says
            where the rest is.
          json: Resolved
        '202': {description: 'Not finished yet; ask again, or ask /status.', json: Message}
        '502':
    post: *resolve
    """
    node = current_node()
    node.faults.require_none()
    seconds = seconds_argument("wait", 30.0, MAX_WAIT)
    with budget().hold(Kind.WAIT):
        answer = node.consensus.ask(seconds)
    if answer is None:
        return jsonify(message="Still resolving."), 202
    shown = first_blocks(node, _SHOWN_BLOCKS, _SHOWN_BYTES)
    length = node.chain.tip().height
    body: dict[str, Any] = {"message": "Our chain was replaced." if answer.replaced else "Our chain is authoritative."}
    body["new_chain" if answer.replaced else "chain"] = shown
    body["length"] = length
    if length > len(shown):
        above = shown[-1]["index"] + 1 if shown else node.chain.kept_from()
        body["more"] = f"/chain?from={above}&limit={MAX_PAGE}"
    return jsonify(body)


@blueprint.post("/nodes/announce")
def announce() -> ResponseReturnValue:
    """Take a peer's announcement of its tip.
    ---
    post:
      summary: Announce a peer's new tip
      description: Ignored unless the peer is registered. Its only effect is a resolution with that peer.
      requestBody:
        json: Announcement
      responses:
        '202': {description: 'heeded: whether the peer will be asked.', json: Heeded}
    """
    body = json_body()
    if not isinstance(body, dict):
        raise InputError("not_an_object", "An announcement is a JSON object.")
    if body.keys() != {"url", "hash", "height", "chainwork"}:
        raise ShapeError("wrong_fields", "An announcement has exactly url, hash, height and chainwork.")
    url, block_hash = normal_url(body["url"]), body["hash"]
    if not is_hash(block_hash):
        raise InputError("bad_hash", "hash must be 64 lower-case hexadecimal digits.", field="hash")
    for name in ("height", "chainwork"):
        if type(body[name]) is not int or not 0 <= body[name] < 2**256:
            raise InputError("bad_number", f"{name} must be a whole number from 0, below 2^256.", field=name)
    return jsonify(heeded=current_node().announcer.heard(url, block_hash)), 202


@blueprint.get("/headers")
def headers() -> ResponseReturnValue:
    """Page through headers.
    ---
    get:
      summary: The headers after the first hash of a locator that is on our chain
      parameters:
        - in: query
          name: locator
          schema: {type: string, pattern: '^([0-9a-f]{64}(,[0-9a-f]{64}){0,63})?$'}
          description: Block hashes, newest first, separated by commas.
        - {in: query, name: limit, schema: {type: integer, default: 500, minimum: 1, maximum: 500}}
      responses:
        '200':
          description: 'headers (hashed fields and proof), from (height of the first), length (of the whole chain).'
          json: Headers
        '404':
    """
    node = current_node()
    if not node.rules.headers_alone:
        raise HttpRefusal(404, "no_headers", "Under this chain's rules, a hash covers the whole block: ask /chain.")
    text = argument("locator") or ""
    names = text.split(",") if text else []
    if len(names) > _MAX_LOCATOR or not all(is_hash(item) for item in names):
        raise InputError(
            "bad_locator", f"locator is at most {_MAX_LOCATOR} block hashes, separated by commas.", field="locator"
        )
    limit = number_argument("limit", MAX_PAGE, 1, MAX_PAGE)
    reserve(_HEADER_BYTES * limit)
    first, found = node.chain.after(names, limit)
    return jsonify(
        {"headers": [item.header.to_object() for item in found], "from": first, "length": node.chain.tip().height}
    )


@blueprint.errorhandler(PeerFailed)
def peer_failed(error: PeerFailed) -> ResponseReturnValue:
    """Answer 502: a peer failed, and the request was right."""
    return problem(502, "peer_failed", str(error))


def _require_node(url: str, answer: PeerClaim | NodeError) -> None:
    """Refuse a peer by its answer. One that does not answer may not have started yet; the resolver keeps asking it.

    Raises:
        InputError: `bad_peer_url`: another program answers, or there is no such host.
        NodeError: as the answer says, such as `wrong_genesis`.
    """
    if isinstance(answer, NoSuchHost):
        raise InputError("bad_peer_url", f"There is no host of the name in {url}: is it mistyped?", field="nodes")
    if isinstance(answer, NoSuchAnswer | PeerLied):
        raise InputError("bad_peer_url", f"What answers at {url} is not a node: is the port mistyped?", field="nodes")
    if isinstance(answer, NodeError) and not isinstance(answer, PeerFailed):
        raise answer


def _nodes(body: Any) -> list[Any]:
    if not isinstance(body, dict):
        raise InputError("not_an_object", 'Send {"nodes": ["http://HOST:PORT"]}.')
    if body.keys() != {"nodes"}:
        raise ShapeError("wrong_fields", 'Send {"nodes": ["http://HOST:PORT"]}.', field="nodes")
    nodes = body["nodes"]
    if not isinstance(nodes, list) or not 0 < len(nodes) <= _MAX_NODES:
        raise InputError("bad_nodes", f"nodes is a list of 1 to {_MAX_NODES} URLs.", field="nodes")
    return nodes


def _peer(peer: Any) -> dict[str, Any]:
    return {
        "url": peer.url,
        "state": peer.state,
        "height": peer.height,
        "tip": peer.tip or None,
        "chainwork": peer.chainwork,
        "failures": peer.failures,
        "reason": peer.reason or None,
    }
