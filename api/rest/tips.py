"""The tips of all branches that this node knows."""

import json
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.errors import HttpRefusal
from api.serving.budget import reserve
from services.peers.tips import ChainTip
from services.store.tips import MOST_BODY
from shared.hashing import is_hash

blueprint = Blueprint("tips", __name__)

_MEMORY = 2**20  # bytes while an answer is made: some hundred tips
_BODY_MEMORY = 8 * MOST_BODY


@blueprint.get("/tips")
def index() -> ResponseReturnValue:
    """List the tips of all branches.
    ---
    get:
      summary: The end of every branch that this node knows
      description: >-
        active: the tip of the chain. fork: blocks that are valid and stored, but not on the chain, because a
        reorganisation detached them or the branch is not complete. headers: only headers are known, or a peer's word
        (proven: false). invalid: a block with proof of work that breaks a rule; the last 64 are kept. Ends of detached
        branches are kept for the last 64 reorganisations.
      responses:
        '200':
          description: >-
            tips: hash, height, chainwork, fork (the last block in common with the chain: height and hash, or null),
            state, proven, rule and reason (of an invalid one), size (bytes; null if only its header was seen),
            first_seen (Unix seconds, or null), peers (URLs).
          json: Tips
    """
    reserve(_MEMORY)
    return jsonify(tips=[represent_tip(item) for item in current_node().tips.all()])


@blueprint.get("/tips/<block_hash>")
def show(block_hash: str) -> ResponseReturnValue:
    """Show a refused block.
    ---
    get:
      summary: The evidence about an invalid tip
      parameters: [{in: path, name: block_hash, required: true, schema: {type: string, pattern: '^[0-9a-f]{64}$'}}]
      responses:
        '200':
          description: >-
            hash, height, chainwork, rule, reason, peer, first_seen, size, header, and block: the whole block, or null
            if it has more than 65,536 bytes or only its header was seen.
          json: RefusedBlock
        '404':
    """
    tips = current_node().tips
    found = tips.refused(block_hash) if is_hash(block_hash) else None
    if found is None:
        raise HttpRefusal(404, "unknown_tip", "This node keeps no refused block of this hash.")
    reserve(_BODY_MEMORY)
    text = tips.refused_block(block_hash)
    return jsonify(
        hash=found.hash,
        height=found.header["index"],
        chainwork=found.chainwork,
        rule=found.code,
        reason=found.reason,
        peer=found.peer,
        first_seen=found.at,
        size=found.size,
        header=found.header,
        block=None if text is None else json.loads(text),
    )


def represent_tip(tip: ChainTip) -> dict[str, Any]:
    """A tip as JSON shows it."""
    return {
        "hash": tip.hash,
        "height": tip.height,
        "chainwork": tip.chainwork,
        "fork": None if tip.fork is None else {"height": tip.fork.height, "hash": tip.fork.hash},
        "state": tip.state,
        "proven": tip.proven,
        "rule": tip.code or None,
        "reason": tip.reason or None,
        "size": tip.size,
        "first_seen": tip.seen_at,
        "peers": list(tip.peers),
    }
