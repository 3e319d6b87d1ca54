"""The OpenAPI document: well-formed, and about every endpoint that there is."""

import json
import pkgutil
import re
from importlib import import_module
from typing import Any

import pytest

import api.explorer
import api.rest
import api.rpc
from api.app import create_app
from api.rest.groups import ALIASES, GROUPS
from services.node import Node
from tests.support.http import Client, FlaskDoor
from tests.support.nodes import MakeNode

METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").ok()
    return found


def endpoints(node: Node) -> set[tuple[str, str]]:
    """(method, path) of everything that the application answers, as OpenAPI writes it."""
    found = set()
    for rule in create_app(node).url_map.iter_rules():
        if rule.endpoint == "static":  # files that pages load
            continue
        path = re.sub(r"<(?:[a-z]+:)?(\w+)>", r"{\1}", rule.rule)
        found |= {(method.lower(), path) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def documented(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, item in document["paths"].items() for method in METHODS & set(item)}


def test_every_endpoint_is_documented_and_nothing_else(document: dict[str, Any], node: Node) -> None:
    assert documented(document) == endpoints(node)


def test_every_blueprint_is_registered(node: Node) -> None:
    """The endpoints of a blueprint that is not are in no document, and answer 404."""
    made = [
        module.blueprint
        for package in (api.rest, api.rpc, api.explorer)
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        if hasattr(module := import_module(found.name), "blueprint")
    ]
    assert len(made) > 10
    assert [one.name for one in made if one not in create_app(node).blueprints.values()] == []


def test_an_endpoint_without_a_documented_method_would_be_noticed(node: Node) -> None:
    app = create_app(node)

    @app.get("/undocumented/<name>")
    def undocumented(name: str) -> str:
        """Without the part that OpenAPI is made from."""
        return name

    found: dict[str, Any] = Client(FlaskDoor(app)).get("/openapi.json").ok()
    assert ("get", "/undocumented/{name}") not in documented(found)


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] == "Quarry" and document["info"]["version"]
    assert set(document) <= {"openapi", "info", "paths", "components", "servers", "tags"}
    for path, item in document["paths"].items():
        assert path.startswith("/")
        assert set(item) <= METHODS | {"options", "head", "parameters", "summary", "description"}
        for method in METHODS & set(item):
            check_operation(document, path, item[method], item.get("parameters", []))


def check_operation(document: dict[str, Any], path: str, operation: dict[str, Any], common: list[Any]) -> None:
    allowed = {"summary", "description", "parameters", "requestBody", "responses", "operationId", "tags", "security"}
    assert set(operation) <= allowed
    assert {name for item in operation.get("security", []) for name in item} <= {"adminToken", "voucher"}
    assert operation["summary"], path
    parameters = [*common, *operation.get("parameters", [])]
    for parameter in parameters:
        assert parameter["in"] in ("path", "query", "header") and parameter["name"] and parameter["schema"]["type"]
        assert parameter["in"] != "path" or parameter["required"] is True
    names = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
    assert sorted(names) == sorted(re.findall(r"\{(\w+)\}", path)), f"path parameters of {path}"
    assert len({(parameter["in"], parameter["name"]) for parameter in parameters}) == len(parameters)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert content["schema"]
    assert any(status.startswith("2") for status in operation["responses"]), path
    for status, response in operation["responses"].items():
        assert re.fullmatch("[1-5][0-9]{2}", status)
        found = resolve(document, response)
        assert found["description"], f"{status} of {path}"
        # A comma in an unquoted text of a YAML flow mapping begins another key.
        assert set(found) <= {"description", "headers", "content", "links"}, f"{status} of {path}"


def test_every_endpoint_says_what_any_request_may_meet(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for method in (METHODS | {"options"}) & set(item):
            operation = item[method]
            wanted = {"400", "403", "411", "413", "429", "503"}
            if operation.get("requestBody", {}).get("required"):
                wanted |= {"415", "422"}
            assert wanted <= set(operation["responses"]), (method, path)
            for status, response in operation["responses"].items():
                content = resolve(document, response).get("content", {})
                if status >= "400":
                    assert "application/problem+json" in content, (method, path, status)
                elif status != "204" and status < "300" and path != "/assets/{name}":
                    assert content, (method, path, status)


def test_doors_for_the_admin_and_for_this_machine_say_so(document: dict[str, Any]) -> None:
    asked = {
        (method, path) for path, item in document["paths"].items() for method in item if "401" in str(item[method])
    }
    assert asked == {
        ("get", "/mine"), ("post", "/mine"), ("post", "/faucet"), ("post", "/nodes/register"),
        ("post", "/miner/register"), ("delete", "/nodes"), ("delete", "/rounds/{round_id}"),
        ("post", "/names"), ("delete", "/names"), ("get", "/tokens"), ("post", "/tokens"), ("delete", "/tokens"),
        ("get", "/audit"), ("post", "/mining/limit"), ("delete", "/mining/limit"),
        ("delete", "/jobs"), ("delete", "/jobs/{job_id}"),
        ("get", "/vouchers"), ("post", "/vouchers"), ("delete", "/vouchers"),
        ("post", "/leases"), ("post", "/leases/{lease_id}"),
    }  # fmt: skip


def test_the_document_says_which_requests_carry_the_admin_token(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["adminToken"]["scheme"] == "bearer"
    operations = {
        (method, path): operation for path, item in document["paths"].items() for method, operation in item.items()
    }
    secured = {name: operation["security"] for name, operation in operations.items() if "security" in operation}
    assert secured.keys() == {name for name, operation in operations.items() if "401" in operation["responses"]}
    needed = {name for name, security in secured.items() if security == [{"adminToken": []}]}
    assert needed == {
        ("post", "/names"), ("delete", "/names"), ("get", "/tokens"), ("post", "/tokens"), ("delete", "/tokens"),
        ("get", "/audit"), ("delete", "/nodes"), ("delete", "/jobs"),
        ("delete", "/rounds/{round_id}"),
        ("get", "/vouchers"), ("post", "/vouchers"), ("delete", "/vouchers"),
    }  # fmt: skip
    vouched = {name for name, security in secured.items() if security == [{"voucher": []}]}
    assert vouched == {("post", "/leases"), ("post", "/leases/{lease_id}")}
    assert all(secured[name] == [{}, {"adminToken": []}] for name in secured.keys() - needed - vouched)


def test_numbers_have_bounds_and_words_have_choices(document: dict[str, Any]) -> None:
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                if schema["type"] in ("integer", "number"):
                    assert {"minimum", "maximum"} <= set(schema), (path, parameter["name"])


def test_the_transactions_are_those_of_the_chain(make_node: MakeNode, node: Node) -> None:
    for made in (node, make_node(SPEC="tutorial")):
        found: dict[str, Any] = Client(FlaskDoor(create_app(made))).get("/openapi.json").ok()
        schemas = found["components"]["schemas"]
        if made is node:
            chain_ids = [variant["properties"]["chain_id"]["enum"] for variant in schemas["Transaction"]["oneOf"]]
            assert chain_ids == [[node.settings.spec.chain_id]] * 4
        else:
            assert schemas["Transaction"]["required"] == ["sender", "recipient", "amount"]


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        assert resolve(document, {"$ref": reference}), reference


def references(value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from references(item)


def resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    reference = value.get("$ref")
    if reference is None:
        return value
    assert reference.startswith("#/")
    found: Any = document
    for name in reference[2:].split("/"):
        found = found[name]
    assert isinstance(found, dict)
    return found


def test_every_operation_is_in_one_group_and_pages_and_aliases_are_apart(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"]] == list(GROUPS) and all(
        tag["description"] for tag in document["tags"]
    )
    used = set()
    for path, item in document["paths"].items():
        for method in (METHODS | {"options"}) & set(item):
            operation = item[method]
            [group] = operation["tags"]
            used.add(group)
            answers = resolve(document, operation["responses"].get("200", {})).get("content", {})
            assert (group == "Pages") == ("text/html" in answers or path in FILES), (method, path)
            assert (group == "Aliases") == (path in ALIASES) == ("Another name of" in operation.get("description", ""))
    assert used == set(GROUPS)


# What pages load, which belongs to them.
FILES = ("/assets/{name}", "/favicon.ico")


def test_aliases_are_the_second_names_of_endpoints(node: Node) -> None:
    rules: dict[str, set[str]] = {}
    for rule in create_app(node).url_map.iter_rules():
        rules.setdefault(rule.endpoint, set()).add(rule.rule)
    several = {frozenset(names) for names in rules.values() if len(names) > 1}
    assert several == {frozenset(pair) for pair in ALIASES.items()}


def test_examples_fit_their_schemas(make_node: MakeNode) -> None:
    validators = pytest.importorskip("jsonschema_rs", reason="the extra `test` has it, with schemathesis")
    for spec in ({}, {"SPEC": "tutorial"}):
        document = Client(FlaskDoor(create_app(make_node(**spec)))).get("/openapi.json").ok()
        seen = 0
        for content in contents(document):
            if "example" in content:
                seen += 1
                schema = {"$ref": content["schema"]["$ref"], "components": document["components"]}
                validators.Draft202012Validator(schema).validate(content["example"])
        assert seen > 15


def contents(value: Any) -> Any:
    """Every media type of JSON in a document."""
    if isinstance(value, dict):
        if "$ref" in value.get("schema", {}) and "in" not in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from contents(item)


def test_examples_of_requests_can_be_sent(client: Client, document: dict[str, Any], make_node: MakeNode) -> None:
    """They are well-formed: what is refused is refused by a rule, such as missing coins, or for want of the token."""
    # The spec of the tests has no account for a faucet.
    refused = {"/transactions/new": "insufficient_funds", "/faucet": "no_faucet"}
    sent = 0
    for path, item in document["paths"].items():
        for method in ("post", "delete"):
            body = item.get(method, {}).get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" not in body or path in ALIASES:
                continue
            sent += 1
            answer = client.door.call(
                method.upper(), path, json.dumps(body["example"]).encode(), Content_Type="application/json"
            )
            assert answer.status < 300 or answer.json["code"] in (refused.get(path), "admin_token_required"), (
                answer.body
            )
    assert sent >= 6
    tutorial = Client(FlaskDoor(create_app(make_node(SPEC="tutorial"))))
    document = tutorial.get("/openapi.json").ok()
    example = document["paths"]["/transactions/new"]["post"]["requestBody"]["content"]["application/json"]["example"]
    tutorial.submit(example)


def test_the_page_shows_every_endpoint(client: Client, document: dict[str, Any]) -> None:
    page = client.get("/docs")
    assert (page.status, page.type) == (200, "text/html; charset=utf-8")
    text = page.body.decode()
    for method, path in documented(document):
        assert f"{method.upper()}</span> <code>{path}</code>" in text
    # The content security policy lets in neither.
    assert not re.search(r"<script(?! (?:defer )?src=)", text) and "style=" not in text
    for target in re.findall(r'(?:href|src)="([^"#]+)"', text):
        assert target.startswith("/") and client.get(target).status == 200, target
