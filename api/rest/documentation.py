"""The OpenAPI document, made from the docstrings of the views, and the page `/docs` that shows it.

The docstrings are OpenAPI with four short forms: `json: Name` stands for JSON by a schema of `schemas/`, `html: true`
for a page, `text: media type` for other text, and a status without a value for a refusal. `admin: true` says that the
admin token is always needed, `voucher: true` that a voucher is. Where an operation may be refused by 401 without either
of them, only requests from elsewhere need the admin token.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from apispec import APISpec
from apispec.yaml_utils import load_operations_from_docstring
from apispec_webframeworks.flask import FlaskPlugin
from flask import Blueprint, current_app, jsonify, make_response, render_template
from flask.typing import ResponseReturnValue

from api.access import served
from api.headers import CONTENT_POLICY
from api.rest.examples import example_of, example_of_parameter
from api.rest.groups import ALIASES, GROUPS, group_of
from services.node import Node
from services.system.about import VERSION

blueprint = Blueprint("documentation", __name__)

_SCHEMAS = [Path(__file__).parent / "schemas" / name for name in ("requests.yml", "answers.yml")]
_REFUSED = {
    400: "The request is wrong: a bad argument or body, or not exactly one Host header.",
    401: "The admin token is needed, or a voucher.",
    403: "A change from a page of another site, one that was not intended, or a Host that the node does not serve.",
    404: "There is no such thing on this node.",
    408: "The body did not arrive in time.",
    409: "The round was cancelled.",
    410: "The body of the block was removed, as QUARRY_KEEP says; another node may have it.",
    411: "The length of the body is missing (Content-Length).",
    413: "The body is too large.",
    415: "The body is not application/json, or is compressed.",
    422: "The body has unknown fields, or a field is missing.",
    429: "Too many requests at once; try again after Retry-After.",
    502: "A peer failed.",
    503: "The store does not answer, or the node is full; try again after Retry-After.",
}
# Every request may be refused with the first of these; a request with a body, with the second as well.
_EVERYWHERE = (400, 403, 408, 411, 413, 429, 503)
_WITH_BODY = (415, 422)
# Parts of other schemas, which the file states once.
_PARTS = frozenset({"BatchItems", "Ed25519", "Ethereum", "Known", "Plain", "TutorialTransaction", "Unsigned"})
# How `/docs` asks for the token. Swagger UI keeps it in the page's memory: it is gone when the tab is closed.
_ADMIN_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "The node's admin token, which it keeps in the file `admin-token` of its data directory. "
    "This page forgets it when it is closed or loaded again.",
}
# Of miners that are not trusted.
_VOUCHER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A voucher, which `quarry voucher new NAME` makes, or its short code.",
}
# libyaml, where it was built in, reads eight times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_HTML = {"text/html": {"schema": {"type": "string"}}}


@blueprint.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """Serve the OpenAPI document.
    ---
    get:
      summary: This document
      responses: {'200': {description: OpenAPI 3.1., content: {application/json: {schema: {type: object}}}}}
    """
    return jsonify(_document())


@blueprint.get("/docs")
def docs() -> ResponseReturnValue:
    """Show the endpoints to people.
    ---
    get:
      summary: The endpoints as a page
      responses: {'200': {description: HTML., html: true}}
    """
    page = make_response(render_template("docs.html", document=_document(), groups=_index(_document())))
    # The style sheet of Swagger UI has some icons in it.
    page.headers["Content-Security-Policy"] = f"{CONTENT_POLICY}; img-src 'self' data:"
    return page


def _index(document: dict[str, Any]) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """The groups with their descriptions and operations: (method, path, summary)."""
    found: dict[str, list[tuple[str, str, str]]] = {name: [] for name in GROUPS}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found[operation["tags"][0]].append((method, path, operation["summary"]))
    return [(name, GROUPS[name], operations) for name, operations in found.items()]


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
    node = served(app).node
    for name, schema in _schemas(node).items():
        spec.components.schema(name, schema)
    spec.components.security_scheme("adminToken", _ADMIN_TOKEN)
    spec.components.security_scheme("voucher", _VOUCHER)
    for name, description in GROUPS.items():
        spec.tag({"name": name, "description": description})
    for status, description in _REFUSED.items():
        content = {"application/problem+json": _content("Problem", node)}
        spec.components.response(f"Refused{status}", {"description": description, "content": content})
        # A page refuses browsers with a page.
        spec.components.response(f"Failed{status}", {"description": description, "content": content | _HTML})
    for endpoint, view in app.view_functions.items():
        if "---" in (view.__doc__ or ""):
            # Not with the plugin's own helper, which knows only one rule of each view.
            for rule in app.url_map.iter_rules(endpoint):
                path = FlaskPlugin.flaskpath2openapi(rule.rule)
                operations = load_operations_from_docstring(view.__doc__)
                for operation in operations.values():
                    _complete(operation, node, is_page=endpoint.startswith("explorer."))
                    _place(operation, endpoint, path)
                spec.path(path=path, operations=operations)
    document: dict[str, Any] = spec.to_dict()
    return document


def _schemas(node: Node) -> dict[str, Any]:
    """The schemas for the chain of `node`: with its chain id, and with unsigned transactions on a tutorial chain."""
    schemas: dict[str, Any] = {}
    for path in _SCHEMAS:
        schemas |= yaml.load(path.read_text("utf-8"), Loader=_LOADER)
    for variant in schemas["Transaction"]["oneOf"]:
        variant["properties"]["chain_id"] = {"type": "integer", "enum": [node.settings.spec.chain_id]}
    if not node.rules.has_accounts:
        schemas["Transaction"] = schemas["TutorialTransaction"]
    return {name: schema for name, schema in schemas.items() if name not in _PARTS}


def _place(operation: dict[str, Any], endpoint: str, path: str) -> None:
    """Put an operation into its group, and give its parameters their examples."""
    operation["tags"] = [group_of(endpoint, path)]
    if path in ALIASES:
        operation["description"] = f"Another name of `{ALIASES[path]}`. {operation.get('description', '')}".strip()
    for parameter in operation.get("parameters", []):
        example = example_of_parameter(path, parameter["name"])
        if example is not None:
            parameter.setdefault("example", example)


def _complete(operation: dict[str, Any], node: Node, *, is_page: bool) -> None:
    """Expand the short forms, and add the refusals that every request may meet."""
    body = operation.get("requestBody")
    if body is not None:
        body.setdefault("required", True)
        _write_out(body, node)
    given = {str(status): response for status, response in operation["responses"].items()}
    is_needed = operation.pop("admin", False)
    if operation.pop("voucher", False):
        operation["security"] = [{"voucher": []}]
    elif "401" in given:
        operation["security"] = [{"adminToken": []}] if is_needed else [{}, {"adminToken": []}]
    for response in given.values():
        if response:
            _write_out(response, node)
    for status in (*_EVERYWHERE, *(_WITH_BODY if body is not None and body["required"] else ())):
        given.setdefault(str(status), None)
    kind = "Failed" if is_page else "Refused"
    operation["responses"] = {
        status: response or {"$ref": f"#/components/responses/{kind}{status}"}
        for status, response in sorted(given.items())
    }


def _write_out(item: dict[str, Any], node: Node) -> None:
    if "json" in item:
        item["content"] = {"application/json": _content(item.pop("json"), node)}
    if item.pop("html", False):
        item["content"] = item.get("content", {}) | _HTML
    if "text" in item:
        item["content"] = {item.pop("text"): {"schema": {"type": "string"}}}


def _content(schema: str, node: Node) -> dict[str, Any]:
    """The media type of JSON by a schema, with its example if there is one."""
    example = example_of(schema, node)
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}} | ({} if example is None else {"example": example})
