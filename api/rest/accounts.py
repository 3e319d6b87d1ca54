"""Single accounts, and the whole stored ledger page by page, to be compared with a replay of the blocks."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node
from api.errors import HttpRefusal
from api.reading import argument, choice_argument
from services.audit.samples import shown
from shared.addresses import parse_address
from shared.amounts import format_amount

blueprint = Blueprint("accounts", __name__)

# Entries that the store looks at for one page; the page may have a few more or less.
_PAGE = 1000
_MAX_CURSOR = 2**64 - 1


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
          description: >-
            address, balance (coins), nonce (transactions mined), pending_nonce (the nonce to use next), name (the one
            that the address has on this node's pages, or null).
          json: Account
    """
    node = current_node()
    normal = parse_address(address)
    account = node.chain.account(normal)
    pending = node.pool.next_nonce(normal)
    named = node.names.all().get(normal)
    return jsonify(
        address=normal,
        balance=format_amount(account.balance),
        nonce=account.nonce,
        pending_nonce=max(account.nonce, pending or 0),
        name=named.name if named else None,
    )


@blueprint.get("/ledger")
def ledger() -> ResponseReturnValue:
    """Read the stored ledger.
    ---
    get:
      summary: All accounts or allowances as they are stored, page by page
      description: >-
        For comparison with a replay of the blocks, as quarry chain verify does. Begin with cursor 0 and continue with
        `next` until it is null. An entry that changes meanwhile may be sent twice. Amounts are in base units.
      parameters:
        - {in: query, name: kind, schema: {type: string, enum: [accounts, allowances], default: accounts}}
        - {in: query, name: cursor, schema: {type: string, pattern: '^[0-9]{1,20}$', default: '0'}}
      responses:
        '200':
          description: 'tip (hash), entries (address to balance:nonce, owner:spender to amount), next.'
          json: LedgerPage
    """
    chain = current_node().chain
    kind, cursor = choice_argument("kind", ("accounts", "allowances")), argument("cursor")
    cursor = "0" if cursor is None else cursor
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 20 and int(cursor) <= _MAX_CURSOR):
        raise HttpRefusal(400, "bad_argument", "cursor is 0, or next of the page before.")
    tip = chain.tip().hash
    following, page = chain.ledger_page(kind, int(cursor), _PAGE)
    entries = {shown(name): shown(value) for name, value in page.items()}
    return jsonify(tip=tip, entries=entries, next=str(following) if following else None)
