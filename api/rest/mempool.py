"""The mempool: transactions that wait to be mined."""

from itertools import islice

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.reading import MAX_PAGE, number_argument
from api.representations import represent_entry
from api.serving.budget import reserve

blueprint = Blueprint("mempool", __name__)

# Memory that an entry takes while an answer is made of it, as a multiple of its own bytes.
_PER_BYTE = 12


@blueprint.get("/mempool")
def show() -> ResponseReturnValue:
    """List waiting transactions.
    ---
    get:
      summary: Waiting transactions, highest fee first, then by arrival
      parameters:
        - {in: query, name: limit, schema: {type: integer, default: 100, minimum: 1, maximum: 500}}
        - {in: query, name: offset, schema: {type: integer, default: 0, minimum: 0, maximum: 20000}}
      responses:
        '200': {description: 'size, bytes and one page of transactions.', json: Mempool}
    """
    node = current_node()
    limit = number_argument("limit", 100, 1, MAX_PAGE)
    offset = number_argument("offset", 0, 0, node.settings.max_mempool)
    size, used = node.pool.totals()
    reserve(_PER_BYTE * used * min(limit, size) // max(size, 1))  # entries of average size are assumed
    waiting = (entry for entries in node.pool.by_fee(MAX_PAGE) for entry in entries)
    shown = [represent_entry(entry) for entry in islice(waiting, offset, offset + limit)]
    return jsonify(size=size, bytes=used, transactions=shown)
