"""What payouts have paid to the addresses of miners."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.representations import represent_payee
from api.serving.budget import reserve
from shared.addresses import parse_address

blueprint = Blueprint("payouts", __name__)

LISTED = 200
_MEMORY = 2**20  # bytes while an answer is made


@blueprint.get("/payouts")
def index() -> ResponseReturnValue:
    """List payouts.
    ---
    get:
      summary: What this node's payouts have paid to whom
      description: >-
        The 200 addresses that were paid for the highest blocks, the last one first, and how many payouts ended how.
        Each payment is a transaction of the chain with the data "quarry payout BLOCK".
      responses:
        '200':
          description: >-
            waiting (blocks whose payout is not over); paid, nothing (nobody was to be paid), detached, forgotten (too
            many waited, or nobody knows any more what is to be paid): payouts that ended so; payees: as GET
            /payouts/{address}.
          json: Payouts
    """
    reserve(_MEMORY)
    store = current_node().payouts
    totals, last = store.totals(), store.paid_last(LISTED)
    return jsonify(
        waiting=totals.waiting,
        paid=totals.paid,
        nothing=totals.nothing,
        detached=totals.detached,
        forgotten=totals.forgotten,
        payees=[represent_payee(payee) for payee in store.payees(last).values()],
    )


@blueprint.get("/payouts/<address>")
def show(address: str) -> ResponseReturnValue:
    """Show what an address was paid.
    ---
    get:
      summary: What this node's payouts have paid to an address
      description: >-
        paid counts payouts that are over, so all of it lies deep on the chain; planned is what else was promised. The
        10,000 addresses that were paid for the highest blocks are remembered; one that was forgotten begins again at 0.
        Sums of the chain itself: add up the transactions to the address whose data begins with "quarry payout".
      parameters: [{in: path, name: address, required: true, schema: {type: string}}]
      responses:
        '200':
          description: >-
            address; paid and planned (amounts); payments (transactions); since (height of the first block that it was
            paid for, or null); block and transaction (of the last payment, or null). Without any payment: zeros.
          json: Payee
    """
    return jsonify(represent_payee(current_node().payouts.payees([normal := parse_address(address)])[normal]))
