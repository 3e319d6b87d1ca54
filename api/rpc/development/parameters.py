"""Reading the parameters of control methods, which test tools write more freely than wallets do."""

import re
from typing import Any

from api.rpc.errors import invalid_params
from shared import wire
from shared.errors import InputError

_HEX = re.compile(r"0[xX][0-9a-fA-F]{1,100}")
_DECIMAL = re.compile(r"[0-9]{1,100}")


def read_number(value: Any, name: str) -> int:
    """A number below 2^256: a JSON integer, or hex (with leading zeros too) or decimal digits, as anvil takes it.

    Raises: RpcError.
    """
    number = value if type(value) is int else -1
    if isinstance(value, str) and _HEX.fullmatch(value):
        number = int(value, 16)
    elif isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    if not 0 <= number < 2**256:
        raise invalid_params(f"{name} must be a number below 2^256, in hex or decimal")
    return number


def read_json(text: str, name: str) -> Any:
    """The value of a text of JSON. Raises: RpcError."""
    try:
        return wire.parse(text.encode("utf-8", "surrogatepass"))
    except InputError as error:
        raise invalid_params(f"{name}: {error.message}") from None
