"""`quarry voucher`: what programs read of it."""

import json

import pytest

from tests.support.cli import refused, run
from tests.support.fake_node import FakeNode

pytestmark = pytest.mark.usefixtures("node_of_this_machine")


def test_a_program_gets_the_name_and_the_voucher(node: FakeNode) -> None:
    node.answers["/vouchers"] = 201, {"name": "class", "voucher": "qv_1"}
    assert json.loads(run("voucher", "new", "class", "--json").stdout) == {"name": "class", "voucher": "qv_1"}
    assert run("voucher", "new", "class").stdout == "qv_1\n"
    assert [(method, json.loads(body)) for method, _, body, _ in node.asked] == [("POST", {"name": "class"})] * 2
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
