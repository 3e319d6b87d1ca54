"""The two formats of Ethereum's JSON-RPC values: quantities (numbers) and data (bytes)."""

import re
from typing import Any

from api.rpc.errors import invalid_params
from shared.addresses import parse_address
from shared.errors import InputError

_QUANTITY = re.compile(r"0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x[0-9a-fA-F]*")


def quantity(number: int) -> str:
    """A number as hex without leading zeros."""
    return hex(number)


def data(value: bytes) -> str:
    """Bytes as hex of even length."""
    return "0x" + value.hex()


def word(number: int) -> str:
    """A number as 32 bytes."""
    return "0x" + number.to_bytes(32, "big").hex()


def read_quantity(value: Any, name: str = "quantity") -> int:
    """A number from a client, as a quantity or as a JSON integer, below 2^256. Raises: RpcError."""
    if type(value) is int and 0 <= value < 2**256:
        return value
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise invalid_params(f"{name} must be a hex quantity without leading zeros")
    return int(value, 16)


def read_data(value: Any, name: str = "data", size: int | None = None) -> bytes:
    """Bytes from a client: exactly `size` of them if it is given. Raises: RpcError."""
    # A pattern of pairs would take four times as long.
    is_data = isinstance(value, str) and len(value) % 2 == 0 and _DATA.fullmatch(value) is not None
    if not is_data or (size is not None and len(value) != 2 + 2 * size):
        length = "an even number of hex digits" if size is None else f"{size} bytes of hex"
        raise invalid_params(f"{name} must be 0x and {length}")
    return bytes.fromhex(value[2:])


def read_address(value: Any, name: str = "address") -> str:
    """An address from a client, in its normal form. Raises: RpcError."""
    try:
        return parse_address(value, field=name)
    except InputError as error:
        raise invalid_params(error.message) from None
