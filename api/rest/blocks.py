"""The chain: blocks as they are hashed under `/chain`, and with what the node knows of them under `/blocks`."""

from collections.abc import Iterator

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.errors import HttpRefusal
from api.reading import MAX_HEIGHT, MAX_PAGE, number_argument
from api.representations import find_block, represent_block, represent_header
from api.serving.budget import reserve
from services.peers.client import MAX_PAGE_BYTES

blueprint = Blueprint("blocks", __name__)

_PIECE = 32_768  # bytes
_HEADER_BYTES = 5_000  # of memory for each header while an answer is made


@blueprint.get("/chain")
def chain() -> ResponseReturnValue:
    """Stream the chain.
    ---
    get:
      summary: The whole chain, or a page of it, exactly as it is hashed
      description: >-
        Streamed. If the chain is reorganised while it is sent, the response is cut off; begin again. A page (with
        `limit`) ends early if its blocks would have more than 4 MiB. A node that prunes (QUARRY_KEEP) refuses with 410
        what begins below `kept_from` of /status, except the first block alone.
      parameters:
        - in: query
          name: from
          schema: {type: integer, minimum: 1, maximum: 999999999999999}
          description: First height.
        - {in: query, name: limit, schema: {type: integer, minimum: 1, maximum: 500}, description: How many blocks.}
      responses:
        '200': {description: 'chain (the blocks) and length (of the whole chain).', json: Chain}
        '410':
    """
    node = current_node()
    tip = node.chain.tip()
    first = number_argument("from", 1, 1, MAX_HEIGHT)
    limit = number_argument("limit", 0, 1, MAX_PAGE)
    last = min(tip.height, first + limit - 1) if limit else tip.height
    blocks = node.chain.stream(first, last)
    return Response(_stream(_cut(blocks) if limit else blocks, tip.height), mimetype="application/json")


def _cut(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The first blocks, as many as a peer accepts in one page, but at least one."""
    left = MAX_PAGE_BYTES
    for number, block in enumerate(blocks):
        left -= len(block)
        if left < 0 and number:
            return
        yield block


def _stream(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    """`{"chain": […], "length": n}` in pieces. Small blocks share one; a large block is sent without being copied."""
    piece = bytearray(b'{"chain": [')
    separator = b""
    for block in blocks:
        piece += separator
        separator = b", "
        if len(piece) + len(block) > _PIECE:
            yield bytes(piece)
            piece.clear()
        if len(block) > _PIECE:
            yield block
        else:
            piece += block
    yield bytes(piece) + b'], "length": %d}' % length


@blueprint.get("/blocks")
def index() -> ResponseReturnValue:
    """List blocks.
    ---
    get:
      summary: Blocks without their transactions, newest first
      parameters:
        - in: query
          name: before
          schema: {type: integer, minimum: 1, maximum: 999999999999999}
          description: Only blocks below this height.
        - {in: query, name: limit, schema: {type: integer, default: 20, minimum: 1, maximum: 500}}
      responses:
        '200': {description: 'blocks, and length (of the whole chain).', json: Blocks}
    """
    node = current_node()
    tip = node.chain.tip()
    limit = number_argument("limit", 20, 1, MAX_PAGE)
    before = min(number_argument("before", tip.height + 1, 1, MAX_HEIGHT), tip.height + 1)
    reserve(_HEADER_BYTES * limit)
    first = max(1, before - limit)
    headers = node.chain.headers(first, before - first)
    return jsonify(blocks=[represent_header(stored, tip) for stored in reversed(headers)], length=tip.height)


@blueprint.get("/blocks/<name>")
def show(name: str) -> ResponseReturnValue:
    """Look at one block.
    ---
    get:
      summary: A block by height, hash, or "latest"
      parameters:
        - in: path
          name: name
          required: true
          schema: {type: string, pattern: '^(latest|[0-9]{1,15}|[0-9a-f]{64})$'}
      responses:
        '200':
          description: 'The hashed fields, hash, chainwork, size and confirmations; the transactions with their ids.'
          json: KnownBlock
        '404':
        '410':
    """
    node = current_node()
    stored = find_block(node, name)
    if stored is None:
        raise HttpRefusal(404, "unknown_block", "There is no such block.")
    return jsonify(represent_block(node, stored, node.chain.tip()))
