"""Vouchers for miners that are not trusted: make, list and revoke them."""

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from api.access import current_node, doorkeeper
from api.errors import HttpRefusal
from api.reading import json_fields
from api.serving.budget import reserve
from services.mining.vouchers import MOST_VOUCHERS
from shared.errors import ShapeError

blueprint = Blueprint("vouchers", __name__)

_VOUCHER_BYTES = 600  # of memory for each voucher while an answer is made
_NEW = 'Send {"name": "…"}, and if you like "join": true.'
_REVOKE = 'Send {"name": "…"}.'


@blueprint.get("/vouchers")
def index() -> ResponseReturnValue:
    """List vouchers.
    ---
    get:
      summary: The vouchers of miners that are not trusted (needs the admin token)
      admin: true
      responses:
        '200':
          description: >-
            vouchers: name, created_at (Unix seconds), join (whether it has a short code), miners (that have used it).
            most: how many there can be. Their secrets are stored as hashes only.
          json: Vouchers
        '401':
    """
    doorkeeper().require_admin()
    found = current_node().leases.vouchers.all()
    reserve(_VOUCHER_BYTES * len(found))
    shown = [
        {"name": item.name, "created_at": item.created_at, "join": item.has_code, "miners": item.miners}
        for item in found
    ]
    return jsonify(vouchers=shown, most=MOST_VOUCHERS)


@blueprint.post("/vouchers")
def new() -> ResponseReturnValue:
    """Make a voucher.
    ---
    post:
      summary: Make a voucher (needs the admin token)
      admin: true
      description: >-
        A name has 1 to 40 visible characters; no two vouchers have the same, whatever its case. The secret is shown
        once. With join, the voucher has a short code as well, for the page /join/CODE.
      requestBody:
        json: NewVoucher
      responses:
        '201': {description: 'name, voucher (the secret); with join, also join (the code).', json: MadeVoucher}
        '401':
    """
    doorkeeper().require_admin()
    body = json_fields({"name"}, _NEW, {"join"})
    join = body.get("join", False)
    if type(join) is not bool:
        raise ShapeError("wrong_fields", _NEW)
    made = current_node().leases.vouchers.new(body["name"], code=join)
    shown: dict[str, Any] = {"name": made.name, "voucher": made.secret}
    if made.code:
        shown["join"] = made.code
    return jsonify(shown), 201


@blueprint.delete("/vouchers")
def revoke() -> ResponseReturnValue:
    """Revoke a voucher.
    ---
    delete:
      summary: Revoke a voucher, and forget its miners (needs the admin token)
      admin: true
      description: Its leases end at once.
      requestBody:
        json: VoucherRevoked
      responses:
        '200': {description: 'name: as it was given.', json: RevokedVoucher}
        '401':
        '404':
    """
    doorkeeper().require_admin()
    name = json_fields({"name"}, _REVOKE)["name"]
    if not isinstance(name, str):
        raise ShapeError("wrong_fields", _REVOKE)
    if not current_node().leases.vouchers.revoke(name):
        raise HttpRefusal(404, "unknown_name", "There is no voucher of this name.")
    return jsonify(name=name)
