"""The OpenAPI document, made from the views' own docstrings, and a page that shows it."""

from functools import cache
from typing import Any

from apispec import APISpec
from apispec.yaml_utils import load_operations_from_docstring
from apispec_webframeworks.flask import FlaskPlugin
from flask import Blueprint, current_app, jsonify, render_template
from flask.typing import ResponseReturnValue

from services.about import VERSION

blueprint = Blueprint("documentation", __name__)

_TRANSACTION = {
    "type": "object",
    "required": ["type", "chain_id", "nonce", "sender", "recipient", "amount", "fee", "scheme", "signature"],
    "properties": {
        "type": {"type": "string", "enum": ["transfer", "approve", "transfer_from"]},
        "chain_id": {"type": "integer"},
        "nonce": {"type": "integer", "minimum": 0},
        "sender": {"type": "string", "description": "Address, 0x and 40 hex digits."},
        "recipient": {"type": "string", "description": "Address; the spender, for approve."},
        "owner": {"type": "string", "description": "Address; only for transfer_from."},
        "amount": {"type": "string", "example": "0.25", "description": "Coins, at most 18 decimals."},
        "fee": {"type": "string", "example": "0.001"},
        "data": {"type": "string", "description": "A memo, or the digest of a file."},
        "scheme": {"type": "string", "enum": ["ed25519", "ethereum"]},
        "public_key": {"type": "string", "description": "32 bytes in hex; only for ed25519."},
        "signature": {"type": "string", "description": "64 bytes in hex; the raw transaction for ethereum."},
    },
}
_PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: the name of the broken rule."},
        "detail": {"type": "string"},
        "field": {"type": "string"},
    },
}
_ADMITTED = {
    "type": "object",
    "required": ["message", "id"],
    "properties": {
        "message": {"type": "string"},
        "id": {"type": "string"},
        "block": {"type": "string", "description": "Hash of the block that it is in, if it was mined before."},
        "index": {"type": "integer", "description": "The height of that block."},
    },
}


@blueprint.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """Serve the OpenAPI document.
    ---
    get:
      summary: This document
      responses: {'200': {description: OpenAPI 3.1.}}
    """
    return jsonify(_document())


@blueprint.get("/docs")
def docs() -> ResponseReturnValue:
    """Show the endpoints to people.
    ---
    get:
      summary: The endpoints as a page
      responses: {'200': {description: HTML.}}
    """
    return render_template("docs.html", document=_document())


def _document() -> dict[str, Any]:
    return _build(current_app._get_current_object())  # type: ignore[attr-defined] # the app itself, as cache key


@cache
def _build(app: Any) -> dict[str, Any]:
    spec = APISpec(
        title="Quarry",
        version=VERSION,
        openapi_version="3.1.0",
        info={"description": "A proof-of-work ledger that runs as a queue of jobs."},
    )
    spec.components.schema("Transaction", _TRANSACTION)
    spec.components.schema("Admitted", _ADMITTED)
    spec.components.schema("Problem", _PROBLEM)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    spec.components.response(
        "Problem", {"description": "Refused (RFC 9457).", "content": {"application/problem+json": schema}}
    )
    for endpoint, view in app.view_functions.items():
        if "---" in (view.__doc__ or ""):
            # Not by the plugin's own helper, which knows only one rule of each view.
            for rule in app.url_map.iter_rules(endpoint):
                path = FlaskPlugin.flaskpath2openapi(rule.rule)
                spec.path(path=path, operations=load_operations_from_docstring(view.__doc__))
    document: dict[str, Any] = spec.to_dict()
    return document
