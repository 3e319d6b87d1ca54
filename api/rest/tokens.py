"""Named admin tokens: make, list and revoke them; and the audit log. All of it needs the token of the node's file."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node, doorkeeper
from api.errors import HttpRefusal
from api.reading import json_fields, number_argument
from services.operators.tokens import Operator
from shared.errors import InputError

blueprint = Blueprint("tokens", __name__)

_NEW = 'Send {"name": "…", "scopes": ["peers", "mine", "jobs"]}, with the scopes that the token is to have.'
_REVOKE = 'Send {"name": "…"}.'
_MOST_ACTS = 1000


@blueprint.get("/tokens")
def index() -> ResponseReturnValue:
    """List tokens.
    ---
    get:
      summary: The named admin tokens, without their secrets (admin)
      admin: true
      responses:
        '200': {description: 'tokens: name, scopes, created_at (Unix seconds).', json: Tokens}
        '401':
    """
    doorkeeper().require_admin()
    return jsonify(tokens=[_shown(item) for item in current_node().operators.all()])


@blueprint.post("/tokens")
def new() -> ResponseReturnValue:
    """Make a token.
    ---
    post:
      summary: Make a named admin token (admin)
      admin: true
      description: >-
        The secret is in this answer and nowhere else. Scopes: peers (register and remove peers), mine (mine from
        another machine, and the limit on the hash rate), jobs (cancel jobs and rounds, and read the dashboard).
      requestBody:
        json: TokenWanted
      responses:
        '201': {description: 'name, scopes, created_at, token (the secret).', json: NewToken}
        '401':
    """
    doorkeeper().require_admin()
    body = json_fields({"name", "scopes"}, _NEW)
    if not isinstance(body["scopes"], list):
        raise InputError("bad_scopes", "scopes is a list.", field="scopes")
    made, secret = current_node().operators.new(body["name"], body["scopes"])
    return jsonify({**_shown(made), "token": secret}), 201


@blueprint.delete("/tokens")
def revoke() -> ResponseReturnValue:
    """Revoke a token.
    ---
    delete:
      summary: Revoke a named admin token (admin)
      admin: true
      description: From the next request on it is refused. What it was let in for before runs to its end.
      requestBody:
        json: TokenRevoked
      responses:
        '200': {description: 'name.', json: TokenName}
        '401':
        '404':
    """
    doorkeeper().require_admin()
    name = json_fields({"name"}, _REVOKE)["name"]
    if not isinstance(name, str):
        raise InputError("bad_name", "A name is text.", field="name")
    if not current_node().operators.revoke(name[:64]):
        raise HttpRefusal(404, "unknown_name", "No token has this name.")
    return jsonify(name=name)


@blueprint.get("/audit")
def audit() -> ResponseReturnValue:
    """Read the audit log.
    ---
    get:
      summary: What was done with admin tokens, and what was refused; the newest first (admin)
      admin: true
      parameters:
        - {in: query, name: limit, schema: {type: integer, minimum: 1, maximum: 1000, default: 100}}
      responses:
        '200':
          description: >-
            acts: at (Unix seconds), who (the token's name; admin; empty for a token that nobody has), what (method and
            path), where (the address that asked), status (of the answer).
          json: Acts
        '401':
    """
    doorkeeper().require_admin()
    count = number_argument("limit", 100, 1, _MOST_ACTS)
    return jsonify(acts=[asdict(act) for act in current_node().operators.acts(count)])


def _shown(item: Operator) -> dict[str, Any]:
    return {"name": item.name, "scopes": list(item.scopes), "created_at": item.created_at}
