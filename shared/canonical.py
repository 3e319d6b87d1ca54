"""Canonical bytes: the form of a value that is hashed, signed and measured (docs/consensus.md)."""

import json
from typing import Any

# json.dumps would make an encoder for each call, which is a quarter of its time.
_ENCODER = json.JSONEncoder(sort_keys=True)


def canonical(value: Any) -> bytes:
    """Bytes of `value` with sorted keys and ASCII escapes, exactly as the tutorial hashes its blocks.

    The caller has checked that `value` holds only objects, arrays, strings and ints.
    """
    return _ENCODER.encode(value).encode()
