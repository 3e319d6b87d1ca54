"""Names in the paths of pages as wallets and other explorers write them (EIP-3091): with 0x, in any case."""

import re

from api.reading import is_height
from shared.hashing import is_hash

_QUANTITY = re.compile(r"0x[0-9a-f]{1,12}")


def plain_hash(text: str) -> str:
    """A hash or an id as our pages write it, in 64 lower-case digits; any other text unchanged."""
    digits = text.lower().removeprefix("0x")
    return digits if is_hash(digits) else text


def plain_block(text: str) -> str:
    """The name of a block as our pages write it: a hash, a height or "latest"; any other text unchanged.

    `0x` with at most twelve digits is a height, as in JSON-RPC.
    """
    lower = text.lower()
    if _QUANTITY.fullmatch(lower):
        return str(int(lower, 16))
    return lower if lower == "latest" or is_height(lower) else plain_hash(text)


def plain_address(text: str) -> str:
    """An address with a lower-case `0x`; any other text unchanged."""
    return "0x" + text[2:] if text[:2] == "0X" else text
