"""The names of addresses on this node's pages: list, give and remove them."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node, doorkeeper
from api.errors import HttpRefusal
from api.reading import json_fields
from api.serving.budget import reserve
from services.operators.names import MOST_GIVEN, Named
from shared.addresses import parse_address

blueprint = Blueprint("names", __name__)

_NAME_BYTES = 600  # of memory for each name while an answer is made
_GIVE = 'Send {"address": "0x…", "name": "…"}.'
_REMOVE = 'Send {"address": "0x…"}.'


@blueprint.get("/names")
def index() -> ResponseReturnValue:
    """List names.
    ---
    get:
      summary: The addresses that have names on this node's pages
      description: Names are this node's own. They are in no block, and are not sent to peers.
      responses:
        '200':
          description: >-
            names: address, name, kind (given by the operator; node, development or wallet by itself), faucet. most:
            how many can be given.
          json: Names
    """
    found = current_node().names.all()
    reserve(_NAME_BYTES * len(found))
    return jsonify(names=[_shown(item) for item in found.values()], most=MOST_GIVEN)


@blueprint.post("/names")
def give() -> ResponseReturnValue:
    """Give an address a name.
    ---
    post:
      summary: Give an address a name (needs the admin token)
      admin: true
      description: >-
        A name has 1 to 40 visible characters and cannot be taken for an address, a hash or a height. No two addresses
        have the same name, whatever its case. It replaces the name that the address had.
      requestBody:
        json: NameGiven
      responses:
        '200': {description: 'address, name, kind.', json: Name}
        '401':
    """
    doorkeeper().require_admin()
    body = json_fields({"address", "name"}, _GIVE)
    return jsonify(_shown(current_node().names.give(parse_address(body["address"]), body["name"])))


@blueprint.delete("/names")
def remove() -> ResponseReturnValue:
    """Take away a name that was given.
    ---
    delete:
      summary: Remove the name that was given to an address (needs the admin token)
      admin: true
      description: Names that addresses have by themselves (node, development, wallet) stay.
      requestBody:
        json: NameRemoved
      responses:
        '200': {description: 'address, and the name that it has now, or null.', json: NameLeft}
        '401':
        '404':
    """
    doorkeeper().require_admin()
    address = parse_address(json_fields({"address"}, _REMOVE)["address"])
    names = current_node().names
    if not names.remove(address):
        raise HttpRefusal(404, "unknown_name", "Nobody has given this address a name.")
    left = names.all().get(address)
    return jsonify(address=address, name=left.name if left else None)


def _shown(named: Named) -> dict[str, Any]:
    return {"address": named.address, "name": named.name, "kind": named.kind, "faucet": named.faucet}
