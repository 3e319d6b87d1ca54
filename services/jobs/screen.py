"""Whether the fields of a job in the broker can be ours, before anything in them is unpacked, imported or called.

Anyone who can write to the broker can put anything under a job's key. A worker that crashed on it would leave its queue
without a worker.
"""

import json
import zlib
from collections.abc import Mapping

MOST_FIELD = 65_536  # bytes of one field; RQ keeps the traceback of a failed job in one
MOST_DATA = 4096  # bytes of function and arguments, unpacked; ours are ids and a URL
MOST_ARGUMENT = 256  # characters


def fault_of(fields: Mapping[bytes, bytes]) -> str:
    """Why these fields of a job's hash are no job of ours; "" if they may be one. Cheap for any content."""
    for name, value in fields.items():
        if len(value) > MOST_FIELD:
            return f"A field is longer than {MOST_FIELD} bytes."
        if not name.isascii():
            return "A field has a name that no job has."
    packed = fields.get(b"data")
    if packed is None:
        return ""  # RQ itself ignores a hash without data
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MOST_DATA + 1)
    except zlib.error:
        data = packed  # RQ then takes it as uncompressed
    if len(data) > MOST_DATA:
        return f"Function and arguments are longer than {MOST_DATA} bytes."
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return "Its data are not JSON."
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[0], str):
        return "Its data are not a function, an instance and arguments."
    if not isinstance(value[2], list) or not isinstance(value[3], dict):
        return "Its arguments are not a list and an object."
    return ""


def arguments_fit(arguments: object, named: object, fewest: int, most: int) -> bool:
    """Whether a job's arguments are from `fewest` to `most` short printable texts, none of them named."""
    return (
        isinstance(arguments, list | tuple)
        and fewest <= len(arguments) <= most
        and not named
        and all(isinstance(item, str) and len(item) <= MOST_ARGUMENT and item.isprintable() for item in arguments)
    )
