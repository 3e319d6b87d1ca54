"""Whether the node is alive, whether it is ready, and what it is doing."""

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.representations import represent_open_round
from api.serving.hosts import name_of
from services.clocks import waiting_words
from services.launch.addresses import ALL_ADDRESSES, url_of
from services.node import Node
from services.settings.table import Settings
from services.system.about import VERSION
from shared.amounts import format_amount
from shared.upgrades import to_object

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Report that the process answers.
    ---
    get:
      summary: Whether the process is alive
      responses: {'200': {description: 'status: ok', json: State}}
    """
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Report whether requests can be served.
    ---
    get:
      summary: Whether the chain can be read and the stored state is not known to be wrong (ledger_differs)
      responses:
        '200':
          description: 'status: ready. While no block may be made, also mining_waits_until (Unix seconds) and detail.'
          json: State
        '503':
    """
    node = current_node()
    node.faults.require_none()
    node.chain.tip()
    until = node.rounds.waits_until()
    if until is None:
        return jsonify(status="ready")
    return jsonify(status="ready", mining_waits_until=until, detail=waiting_words(until, node.clock.now()))


@blueprint.get("/spec")
def spec() -> ResponseReturnValue:
    """Show the chain spec.
    ---
    get:
      summary: The chain spec, exactly as it is hashed
      responses: {'200': {description: 'Its SHA-256 is the previous_hash of the genesis block.', json: Spec}}
    """
    return jsonify(current_node().settings.spec.to_object())


@blueprint.get("/status")
def status() -> ResponseReturnValue:
    """Show what the node is doing.
    ---
    get:
      summary: Tip, mempool, peers, workers and the round in progress
      responses:
        '200':
          description: >-
            node, spec, height, tip, chainwork, mempool, peers, workers, suspended, foreign_workers, round, time,
            time_offset, wrong_clocks, ledger and more. rpc_url and ws_url are where the node's settings have
            `quarry rpc` serve wallets and tools. instance differs from that of every other node. kept_from is the
            height from which on the node has whole blocks; of those below, all headers. sealing says whether this node
            may make the next block, where only sealers may; upgrades, which upgrades it has. ledger.state is ok,
            differs (findings say where the stored state differs from what the blocks give) or repairing.
          json: Status
    """
    node = current_node()
    state = node.overview()
    tip = state.tip
    trouble = node.queue.trouble()
    fault = node.faults.read() if state.differs else None
    return jsonify(
        node=node.settings.node,
        version=VERSION,
        instance=node.instance(),
        spec=node.settings.spec.name,
        chain_id=node.settings.spec.chain_id,
        **_door(node.settings),
        genesis=node.chain.hash_at(1),
        address=node.settings.reward_address or None,
        sealing=_sealing(node, tip.height + 1),
        upgrades={
            "digest": node.rules.spec.upgrades_digest,
            "steps": [{"height": stage.height, "digest": stage.digest} for stage in node.rules.spec.stages],
        },
        height=tip.height,
        tip=tip.hash,
        kept_from=state.kept_from,
        chainwork=tip.chainwork,
        supply=format_amount(tip.supply),
        ledger={"state": "ok"} if fault is None else fault.to_object(),
        min_fee=format_amount(node.settings.min_fee),
        mempool={"size": state.pool_size, "bytes": state.pool_bytes},
        peers=[
            {"url": peer.url, "height": peer.height, "tip": peer.tip or None, "state": peer.state}
            for peer in node.peers.approved()
        ],
        workers={"mining": node.queue.mining_workers(), "network": node.queue.network_workers()},
        suspended=trouble.suspended,
        foreign_workers=trouble.strangers,
        round=represent_open_round(state),
        requests=state.requests,
        time=node.clock.now(),
        time_offset=tip.times.offset or 0,
        mining_waits_until=node.rounds.waits_until(),
        wrong_clocks=[{"name": item.name, "ahead": item.ahead} for item in node.wrong_clocks()],
        automine=node.modes.automine(),
        block_time=node.modes.interval(),
        mine=node.settings.mine,
        hash_rate_limit=state.hash_rate_limit,
        hashes=state.counters.get("hashes", 0),
        wasted_hashes=state.counters.get("wasted_hashes", 0),
    )


@blueprint.get("/upgrades")
def upgrades() -> ResponseReturnValue:
    """Show the upgrades.
    ---
    get:
      summary: The upgrades of the chain spec, as in the file that the operator has given
      responses:
        '200': {description: 'spec (its hash), upgrades (height, changes, signatures).', json: Upgrades}
    """
    return jsonify(to_object(current_node().settings.spec))


def _sealing(node: Node, height: int) -> dict[str, Any] | None:
    """Whether this node may make the next block; None where anybody may."""
    if not node.rules.spec.at(height).sealers:
        return None
    sealer = node.rounds.templates.sealer
    return {"address": sealer.address, "allowed": sealer.may_seal(height)}


def _door(settings: Settings) -> dict[str, str | None]:
    """Where `quarry rpc` serves by the settings. If it binds all addresses: at the host that this request came to."""
    if not settings.rpc_port:  # any port that was free, which only that process knows
        return {"rpc_url": None, "ws_url": None}
    host = name_of(request.host) if settings.host in ALL_ADDRESSES else settings.host
    return {"rpc_url": url_of(host, settings.rpc_port), "ws_url": url_of(host, settings.rpc_port, "ws")}
