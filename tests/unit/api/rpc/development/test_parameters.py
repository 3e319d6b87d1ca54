"""Numbers and JSON as test tools write them."""

from typing import Any

import pytest

from api.rpc.development.parameters import read_json, read_number
from api.rpc.errors import RpcError


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (2**256 - 1, 2**256 - 1),
        ("0x0", 0),
        ("0x000f", 15),
        ("0XF", 15),
        ("10", 10),
        ("0x" + "f" * 64, 2**256 - 1),
    ],
)
def test_numbers(value: Any, number: int) -> None:
    assert read_number(value, "amount") == number


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**256, 1.0, "", "0x", "x", "-1", "1.5", " 1", "0x" + "f" * 65, "9" * 101, [], {}]
)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(RpcError, match="amount must be a number"):
        read_number(value, "amount")


def test_json() -> None:
    assert read_json('{"a": [1]}', "data") == {"a": [1]}
    for text in ("", "{", "[1.5]", '"\ud800"', "[" * 99):
        with pytest.raises(RpcError, match="data: "):
            read_json(text, "data")
