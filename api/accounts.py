"""Accounts over HTTP."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import node
from shared.addresses import parse_address
from shared.amounts import format_amount

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/accounts/<address>")
def show(address: str) -> ResponseReturnValue:
    """Look at an account.
    ---
    get:
      summary: Balance and nonces of an address
      parameters:
        - in: path
          name: address
          required: true
          schema: {type: string, pattern: '^0x[0-9a-fA-F]{40}$', format: address}
      responses:
        '200':
          description: 'address, balance (coins), nonce (mined), pending_nonce (the next to use).'
          json: Account
    """
    here = node()
    normal = parse_address(address)
    account = here.chain.account(normal)
    pending = here.pool.next_nonce(normal)
    return jsonify(
        address=normal,
        balance=format_amount(account.balance),
        nonce=account.nonce,
        pending_nonce=max(account.nonce, pending or 0),
    )
