"""Addresses of pages as wallets and other explorers write them (EIP-3091): with 0x, and in any case."""

import re

from api.reading import is_height
from shared.hashing import is_hash

_QUANTITY = re.compile(r"0x[0-9a-f]{1,12}")


def plain_hash(text: str) -> str:
    """A hash or an id as our pages have it, 64 lower-case digits; any other text as it is."""
    digits = text.lower().removeprefix("0x")
    return digits if is_hash(digits) else text


def plain_block(text: str) -> str:
    """The name of a block as our pages have it: a hash, a height or "latest"; any other text as it is.

    `0x` and at most twelve digits is a height as JSON-RPC writes it.
    """
    lower = text.lower()
    if _QUANTITY.fullmatch(lower):
        return str(int(lower, 16))
    return lower if lower == "latest" or is_height(lower) else plain_hash(text)


def plain_address(text: str) -> str:
    """An address with `0x`, which wallets never leave out and people do."""
    return "0x" + text[2:] if text[:2] == "0X" else text
