"""The items of one long array in a JSON object, cut out one by one while the text arrives.

A chain may not fit into memory; one block of it does. The caller parses each item strictly (`shared/wire.py`), which
streaming parsers do not: they accept duplicate keys and endless nesting.
"""

import re
from collections.abc import Iterable, Iterator

from shared import wire
from shared.errors import InputError

# Bytes of the text around the array, and of the white space between two items.
_MAX_ENVELOPE = 65_536
_MAX_GAP = 1024
_QUOTE = ord('"')
# Up to the next bracket, or to a string that has an escape or no end. Possessive: no byte is tried twice.
_PLAIN = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+")*+')
_IN_STRING = re.compile(rb'[^"\\]*+')


def array_items(chunks: Iterable[bytes], name: str, max_item: int) -> Iterator[bytes]:
    """The texts of the items, all of them objects, of the array `name` of the JSON object in `chunks`.

    The text between the items is checked here; the caller parses the items.

    Args:
        max_item: the most bytes of one item. One item and one chunk are in memory at a time.

    Raises:
        InputError: `malformed_json`, also after the last item; `item_too_long`.
    """
    cutter = _Cutter(name, max_item)
    for chunk in chunks:
        yield from cutter.cut(chunk)
    cutter.end()


class _Cutter:
    """The position in the text (depth, inside a string or not), and what has been kept of it."""

    def __init__(self, name: str, max_item: int) -> None:
        self._name = name
        self._max_item = max_item
        self._opening = re.compile(rb'"%s"\s*+:\s*+\Z' % re.escape(name.encode()))
        self._envelope = bytearray()  # the object, with an empty array
        self._gap = bytearray()
        self._item = bytearray()
        self._depth = 0
        self._in_array = False
        self._items = 0
        self._in_string = False
        self._escaped = 0  # bytes at the start of the next chunk that a backslash in this one escapes

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        """The items that end in this chunk."""
        kept, position = 0, self._escaped
        while position < len(chunk):
            if self._in_string:
                position = _end(_IN_STRING, chunk, position)
                if position < len(chunk):
                    self._in_string = chunk[position] != _QUOTE
                    position += 2 if self._in_string else 1
                continue
            position = _end(_PLAIN, chunk, position)
            if position == len(chunk):
                break
            byte = chunk[position]
            if byte == _QUOTE:
                self._in_string = True
            elif byte in b"{[":
                kept = self._open(chunk, kept, position)
            else:
                self._depth -= 1
                if self._in_array and self._depth == 2:
                    self._item += chunk[kept : position + 1]
                    kept = position + 1
                    yield self._take_item()
                elif self._in_array and self._depth == 1:
                    self._gap += chunk[kept:position]
                    self._check_gap(last=True)
                    self._in_array, kept = False, position
            position += 1
        self._escaped = max(position - len(chunk), 0)
        self._keep(chunk[kept:])

    def end(self) -> None:
        """Check that the text around the array is an object that has one array of that name."""
        value = wire.parse(bytes(self._envelope), floats=True)
        if self._depth or not isinstance(value, dict) or value.get(self._name) != []:
            raise _malformed()

    def _open(self, chunk: bytes, kept: int, position: int) -> int:
        """Process an opening bracket. Returns the position from which the chunk is still to be kept."""
        if not self._in_array:
            self._envelope += chunk[kept:position]
            kept = position
            if self._depth == 1 and chunk[position] == ord("[") and self._opening.search(self._envelope[-_MAX_GAP:]):
                self._envelope += b"["
                self._in_array, kept = True, position + 1
        elif self._depth == 2:
            self._gap += chunk[kept:position]
            if chunk[position] != ord("{"):
                raise _malformed()
            self._check_gap(last=False)
            kept = position
        self._depth += 1
        return kept

    def _check_gap(self, *, last: bool) -> None:
        comma = b"," if self._items and not last else b""
        if len(self._gap) > _MAX_GAP or bytes(self._gap.strip(b" \t\r\n")) != comma:
            raise _malformed()
        self._gap.clear()

    def _take_item(self) -> bytes:
        self._check_item()
        item = bytes(self._item)
        self._item.clear()
        self._items += 1
        return item

    def _check_item(self) -> None:
        if len(self._item) > self._max_item:
            raise InputError("item_too_long", f"An item has more than {self._max_item} bytes.")

    def _keep(self, rest: bytes) -> None:
        """Keep the rest of a chunk as part of the envelope, the gap or the item."""
        if not self._in_array:
            self._envelope += rest
        elif self._depth == 2:
            self._gap += rest
        else:
            self._item += rest
            self._check_item()
        if len(self._envelope) > _MAX_ENVELOPE or len(self._gap) > _MAX_GAP:
            raise _malformed()


def _end(pattern: re.Pattern[bytes], chunk: bytes, position: int) -> int:
    """The position where a pattern that also matches the empty string stops matching."""
    match = pattern.match(chunk, position)
    assert match is not None, "both patterns match everywhere"
    return match.end()


def _malformed() -> InputError:
    return InputError("malformed_json", "The text is not a JSON object with an array of objects of that name.")
