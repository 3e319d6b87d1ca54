"""`quarry voucher`: what programs read of it."""

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("node_of_this_machine")


def test_a_program_gets_the_name_and_the_voucher(node: FakeNode) -> None:
    node.answers["/vouchers"] = 201, {"name": "class", "voucher": "qv_1"}
    made = json.loads(run("voucher", "new", "class", "--json").stdout)
    assert made == {"name": "class", "voucher": "qv_1", "url": node.url}
    assert run("voucher", "new", "class").stdout == "qv_1\n"
    asked = [(method, json.loads(body)) for method, path, body, _ in node.asked if path == "/vouchers"]
    assert asked == [("POST", {"name": "class"})] * 2
    assert all("Authorization" in headers for *_, headers in node.asked)


def test_the_code_of_a_class_is_the_address_of_a_page(node: FakeNode) -> None:
    node.answers["/vouchers"] = 201, {"name": "class", "voucher": "qv_1", "join": "ABC"}
    assert run("voucher", "new", "class", "--join").stdout == f"qv_1\n{node.url}/join/ABC\n"
    assert json.loads(node.asked[0][2]) == {"name": "class", "join": True}


def test_the_list_and_the_end_of_one(node: FakeNode) -> None:
    listed = [{"name": "class", "created_at": 1.5, "join": False, "miners": 2}]
    node.answers["/vouchers"] = 200, {"vouchers": listed}
    assert json.loads(run("voucher", "list", "--json").stdout) == {"vouchers": listed}
    node.answers["/vouchers"] = 200, {"name": "class"}
    assert json.loads(run("voucher", "revoke", "class", "--json").stdout) == {"name": "class"}
    method, _, body, _ = node.asked[1]
    assert (method, json.loads(body)) == ("DELETE", {"name": "class"})


def test_a_name_is_needed(node: FakeNode) -> None:
    for command in ("new", "revoke"):
        refused(run("voucher", command, " "), 2, "A name has 1 to 40 visible characters.")
    assert node.asked == []


@pytest.fixture
def door() -> Iterator[FakeNode]:
    """The `quarry rpc` of the node."""
    fake = FakeNode()
    yield fake
    fake.close()


SECRET = "qv_0123456789abcdef0123456789abcdef"
PROBE = f"/leases/{'0' * 32}"


def test_the_command_that_mines_with_it_is_ready(node: FakeNode, door: FakeNode) -> None:
    """On standard error: standard output can be a file for `quarry miner --voucher-file`."""
    node.answers["/vouchers"] = 201, {"name": "class", "voucher": SECRET}
    node.answers["/status"] = 200, {"rpc_url": door.url}
    door.answers[PROBE] = 404, {"code": "unknown_lease", "detail": "It has expired."}
    result = run("voucher", "new", "class", columns=80)
    assert result.stdout == f"{SECRET}\n"
    assert result.stderr.splitlines() == [
        "Mine with it:", f"  quarry miner --url {door.url} \\", f"    --voucher {SECRET}",
    ]  # fmt: skip
    assert shlex.split(result.stderr.partition("\n")[2].replace("\\\n", "")) == [
        "quarry", "miner", "--url", door.url, "--voucher", SECRET,
    ]  # fmt: skip
    assert json.loads(run("voucher", "new", "class", "--json").stdout)["url"] == door.url
    assert {headers["Authorization"] for *_, headers in door.asked} == {f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ((200, {"rpc_url": None}), None),
        ((200, {}), None),
        ((200, []), None),
        ((503, {"code": "store_unavailable", "detail": "Later."}), None),
        ((200, {"rpc_url": "DOOR"}), (404, {"code": "not_found", "detail": "Nothing here."})),
        ((200, {"rpc_url": "DOOR"}), (401, {"code": "unknown_voucher", "detail": "No."})),
        ((200, {"rpc_url": "DOOR"}), (200, {})),
        ((200, {"rpc_url": "http://127.0.0.1:9"}), None),
    ],
)
def test_without_a_door_of_this_node_it_names_the_api(
    node: FakeNode, door: FakeNode, status: tuple[int, Any], answer: Any
) -> None:
    node.answers["/vouchers"] = 201, {"name": "class", "voucher": SECRET}
    if status[1] == {"rpc_url": "DOOR"}:
        status = status[0], {"rpc_url": door.url}
    node.answers["/status"] = status
    if answer is not None:
        door.answers[PROBE] = answer
    result = run("voucher", "new", "class")
    assert result.exit_code == 0 and f"quarry miner --url {node.url} " in result.stderr
